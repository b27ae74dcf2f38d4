"""A tiny BERT pruned inside the Hugging Face Trainer: hand it the optimizer that the sparsifier is attached to."""

import tempfile
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

import tamis
from tamis.train import load_container, save_container

BATCH, SENTENCES, EPOCHS = 16, 128, 6
STEPS = EPOCHS * SENTENCES // BATCH


class KeepSparsifier(TrainerCallback):
    """Writes the sparsifier's state into each checkpoint of the Trainer."""

    def __init__(self, sparsifier):
        self.sparsifier = sparsifier

    def on_save(self, args, state, control, **kwargs):
        state_dict = self.sparsifier.state_dict()
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        save_container(folder / "sparsifier.safetensors", state_dict["tensors"], {"state": state_dict["json"]})


def sentences():
    """Random tokens; the label says whether token 7 comes before token 8."""
    draw = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(SENTENCES):
        tokens = torch.randint(10, 60, (12,), generator=draw)
        first, second = torch.randperm(12, generator=draw)[:2].sort().values.tolist()
        label = int(torch.randint(2, (1,), generator=draw))
        tokens[first], tokens[second] = (7, 8) if label else (8, 7)
        rows.append({"input_ids": tokens, "attention_mask": torch.ones(12, dtype=torch.long), "labels": label})
    return rows


def build(folder, checkpoint=None):
    """Model, sparsifier and Trainer; with ``checkpoint``, ready for ``train(resume_from_checkpoint=checkpoint)``."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=64, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128
    )
    model = BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    sparsifier = tamis.GMP(sparsity=0.8, total_steps=STEPS, exclude="classifier")
    if checkpoint is not None:
        tensors, header = load_container(Path(checkpoint) / "sparsifier.safetensors")
        sparsifier.load_state_dict({"tensors": tensors, "json": header["state"]})
    sparsifier.attach(model, optimizer)
    arguments = TrainingArguments(
        output_dir=folder,
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=BATCH,
        save_steps=STEPS // 2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)
    trainer = Trainer(
        model,
        arguments,
        train_dataset=sentences(),
        optimizers=(optimizer, schedule),
        callbacks=[KeepSparsifier(sparsifier)],
    )
    return model, sparsifier, trainer


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        model, sparsifier, trainer = build(folder)
        trainer.train()
        sparsifier.finalize()
        print(f"{sparsifier.report()['sparsity']:.3f} of the weights of the encoder are zero")
