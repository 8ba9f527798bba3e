"""Real trainers of other people, each ending with a verdict and a page."""

import importlib.util
import inspect
import textwrap

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokscope.monitor import Monitor
from tests.monitor.loops import PAIRS, SUMS, TEST, TRAIN, batch, made, update, watched

pytestmark = pytest.mark.filterwarnings("ignore")  # of the clients and their dependencies


def finished(monitor, folder, *keys):
    """A verdict, a page, and these keys measured."""
    assert monitor.advice.text
    assert str(monitor.advice) in monitor.sentence()
    assert set(keys) <= set(monitor.trace.keys()), monitor.trace.skipped
    if importlib.util.find_spec("grokscope.report.diagnosis_page"):
        page = monitor.report(folder / "page.html")
        assert "<html" in page.read_text(encoding="utf-8")[:2000]


LM_KEYS = ("train/loss", "train/accuracy", "logits/margin_median", "norm/weights", "gradient/norm", "optimizer/lr")


def test_a_plain_loop_on_modular_addition(tmp_path):
    model, optimizer = made(dropout=0.0)
    monitor = watched(model, optimizer)
    for _ in range(60):
        update(model, optimizer, monitor, rows=TRAIN)
    finished(monitor, tmp_path, "test/accuracy", "train/accuracy")
    assert monitor.phases.events.t_train is not None


def _language_model(kind):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    if kind == "gpt2":
        config = transformers.GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=2, n_head=2)
        return transformers.GPT2LMHeadModel(config)
    config = transformers.OlmoeConfig(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, max_position_embeddings=16, pad_token_id=0,
    )  # fmt: skip
    return transformers.OlmoeForCausalLM(config)


@pytest.mark.parametrize("kind", ["gpt2", "olmoe"])
def test_a_hugging_face_trainer(kind, tmp_path, capsys):
    model = _language_model(kind)
    from transformers import Trainer, TrainingArguments

    from grokscope.integrations.huggingface import GrokscopeCallback

    rows = torch.randint(64, (48, 16), generator=torch.Generator().manual_seed(1))
    data = [{"input_ids": row, "labels": row} for row in rows]
    callback = GrokscopeCallback(rows=16, max_overhead=10.0, folder=tmp_path / "watched")
    arguments = TrainingArguments(
        str(tmp_path), max_steps=12, per_device_train_batch_size=8, gradient_accumulation_steps=2, logging_steps=4,
        eval_strategy="steps", eval_steps=4, report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=data[:32], eval_dataset=data[32:], callbacks=[callback])
    trainer.train()
    monitor = callback.monitor
    finished(monitor, tmp_path, *LM_KEYS, "test/loss")
    assert "grokscope at step 12: " in capsys.readouterr().out
    assert monitor.at == 12
    assert monitor.trace.series("test/loss", 0)[0].tolist() == [4, 8, 12]
    assert monitor.trace.skipped == {}
    setting = monitor.diagnosis.setting
    assert (setting.optimizer, setting.budget, setting.clipped, setting.scheduled) == ("adamw", 12, True, True)
    with torch.no_grad():
        ids = torch.stack([data[i * 2]["input_ids"] for i in range(16)])
        loss = model.eval()(input_ids=ids, labels=ids).loss.item()
    assert monitor.trace.series("train/loss", 0)[1][-1] == pytest.approx(loss, rel=1e-4)


def test_a_lightning_trainer_on_digits(tmp_path, capsys):
    lightning = pytest.importorskip("lightning.pytorch")
    from sklearn.datasets import load_digits

    from grokscope.integrations.lightning import GrokscopeCallback

    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)

    class Digits(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10))

        def forward(self, inputs):
            return self.net(inputs)

        def training_step(self, rows, _):
            return F.cross_entropy(self(rows[0]), rows[1])

        def validation_step(self, rows, _):
            z = self(rows[0])
            self.log("val_loss", F.cross_entropy(z, rows[1]))
            self.log("val_acc", (z.argmax(1) == rows[1]).float().mean())

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=1e-2)

    def loader(rows):
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x[rows], y[rows]), batch_size=64)

    def train(callbacks):
        lightning.seed_everything(0, verbose=False)
        model = Digits()
        trainer = lightning.Trainer(
            max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, callbacks=callbacks, num_sanity_val_steps=0,
        )  # fmt: skip
        trainer.fit(model, loader(slice(0, 512)), loader(slice(512, 768)))
        return model

    callback = GrokscopeCallback(max_overhead=10.0)
    watched_model, plain = train([callback]), train([])
    assert all(torch.equal(a, b) for a, b in zip(watched_model.parameters(), plain.parameters(), strict=True))
    finished(callback.monitor, tmp_path, *LM_KEYS, "test/loss", "test/accuracy", "representation/effective_rank")
    assert callback.monitor.at == 16
    assert "grokscope at step 16: " in capsys.readouterr().out
    assert callback.state_dict()["step"] == 16


def test_an_accelerate_loop_with_accumulation(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    from grokscope.integrations.accelerate import watch

    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model, optimizer = made()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*batch(TRAIN)), batch_size=10)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    monitor = watch(accelerator, model, optimizer, batch(TRAIN), validation=batch(TEST), max_overhead=10.0)
    for _ in range(4):
        for inputs, targets in loader:
            with accelerator.accumulate(model):
                loss = F.cross_entropy(model(inputs), targets)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                monitor.step(loss)
    assert monitor.at == 16  # seven batches an epoch, the last one alone
    finished(monitor, tmp_path, *LM_KEYS, "test/accuracy")


def test_a_character_model_of_source_text(tmp_path):
    """In the manner of nanoGPT: the module takes targets too, and gives (logits, loss)."""
    text = inspect.getsource(textwrap)
    letters = sorted(set(text))
    ids = torch.tensor([letters.index(c) for c in text])

    class Block(nn.Module):
        def __init__(self, vocabulary, width=32, context=16):
            super().__init__()
            self.token, self.place = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
            self.attend = nn.MultiheadAttention(width, 2, dropout=0.1, batch_first=True)
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
            self.head.weight = self.token.weight

        def forward(self, x, targets=None):
            h = self.token(x) + self.place(torch.arange(x.shape[1]))
            mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
            z = self.head(self.norm(h + self.attend(h, h, h, attn_mask=mask, need_weights=False)[0]))
            if targets is None:
                return z[:, -1:], None
            return z, F.cross_entropy(z.flatten(0, 1), targets.flatten())

    def rows(count, generator):
        at = torch.randint(len(ids) - 17, (count, 1), generator=generator) + torch.arange(17)
        return ids[at[:, :-1]], ids[at[:, 1:]]

    torch.manual_seed(0)
    model = Block(len(letters))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    x, y = rows(32, torch.Generator().manual_seed(1))
    monitor = Monitor(model, optimizer, ((x, y), y), max_overhead=10.0)
    for _ in range(30):
        inputs, targets = rows(32, None)
        _, loss = model(inputs, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        monitor.step(loss)
    finished(monitor, tmp_path, *LM_KEYS, "representation/effective_rank")
    assert monitor.trace.series("train/loss", 0)[1][-1] < monitor.trace.series("train/loss", 0)[1][0]
    assert monitor.diagnosis.setting.normalised


def test_a_model_that_gives_a_dict_is_read_by_read(tmp_path):
    class Gives(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = made()[0]

        def forward(self, x):
            return {"aux": x.float(), "scores": self.inner(x)}

    model = Gives()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    monitor = Monitor(model, optimizer, batch(TRAIN), read=lambda out: out["scores"], max_overhead=10.0)
    for _ in range(5):
        F.cross_entropy(model(PAIRS)["scores"], SUMS).backward()
        optimizer.step()
        monitor.step()
    finished(monitor, tmp_path, *LM_KEYS)
