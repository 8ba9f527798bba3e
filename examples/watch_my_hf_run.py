"""A Hugging Face Trainer, watched by one callback: a tiny GPT-2 of random weights learns a + b mod 13."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from grokscope.integrations.huggingface import GrokscopeCallback

p = 13
pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))[torch.randperm(p * p)]
equations = torch.cat([pairs, pairs.sum(1, keepdim=True) % p], 1)
labels = equations.clone()
labels[:, :2] = -100  # only the sum is asked for
rows = [{"input_ids": ids, "labels": wanted} for ids, wanted in zip(equations, labels, strict=True)]

model = GPT2LMHeadModel(GPT2Config(vocab_size=p, n_positions=3, n_embd=32, n_layer=1, n_head=2))
callback = GrokscopeCallback(folder="runs/watched-hf")
trainer = Trainer(
    model,
    TrainingArguments(
        "runs/hf",
        max_steps=60,
        per_device_train_batch_size=64,
        learning_rate=1e-3,
        weight_decay=1.0,
        eval_strategy="steps",
        eval_steps=10,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    ),
    train_dataset=rows[:100],
    eval_dataset=rows[100:],
    callbacks=[callback],
)
trainer.train()  # prints the advice when it ends
print("page:", callback.monitor.report("runs/watched-hf.html"))
