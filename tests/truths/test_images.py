"""Truths for tasks/images.py: what the 8 × 8 digits are, and that a nearest neighbour reads them."""

import torch
from sklearn.datasets import load_digits

from grokscope.models import Dense
from grokscope.seeds import Seeds
from grokscope.tasks import Digits

TASK = Digits()


def test_they_are_the_images_of_scikit_learn() -> None:
    images, table = load_digits(), TASK.table
    assert table.operands_NK.shape == (TASK.size, 64) == (1797, 64)
    assert torch.equal(table.operands_NK.view(-1, 8, 8), torch.from_numpy(images.images).long())
    assert torch.equal(table.answers_N, torch.from_numpy(images.target).long())
    assert table.answers_N.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_pixels_lie_in_the_unit_interval_and_reach_both_ends() -> None:
    features = TASK.features_NF
    assert features.dtype == torch.float32
    assert features.min() == 0.0
    assert features.max() == 1.0
    assert torch.equal((features * 16).long(), TASK.table.operands_NK)  # sixteenths are exact in float32


def test_a_split_has_the_share_that_is_asked_for_and_every_digit() -> None:
    split = Digits(train_fraction=0.557).divide(Seeds(0))
    assert (split.size("train"), split.size("test")) == (1000, 797)
    for rows in split.rows.values():
        assert TASK.table.answers_N[rows].unique().tolist() == list(range(10))


def test_the_nearest_training_image_answers_true_labels_and_no_random_ones() -> None:
    features = TASK.features_NF
    for labels, low, high in (("true", 0.95, 1.0), ("random", 0.05, 0.15)):
        split = Digits(labels=labels).divide(Seeds(0))
        train, test = split.rows["train"], split.rows["test"]
        nearest = train[torch.cdist(features[test], features[train]).argmin(1)]
        assert low <= (split.answers_N[nearest] == split.answers_N[test]).double().mean() <= high


def test_a_dense_network_sees_the_features() -> None:
    model = Dense(hidden=(5,))
    encoding = model.encode(TASK, TASK.table)
    assert torch.equal(encoding.tokens_NL, TASK.features_NF)
    network = model.build(TASK, Seeds(0).generator("init"))
    assert network(encoding.tokens_NL[:3]).shape == (3, 1, 10)
