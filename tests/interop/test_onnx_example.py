"""Transformers of other people, pruned and packed, against ONNX Runtime."""

from __future__ import annotations

import pytest
import torch

import tamis
from tamis.nn import is_packed
from tamis.train import export_onnx

from .optional_packages import needs


def test_the_example_checks_a_transformer_against_onnx_runtime(example, capsys):
    needs("onnx")
    needs("onnxruntime")
    example("onnx_runtime")
    assert capsys.readouterr().out.count("largest difference") == 2


@pytest.mark.filterwarnings("ignore")  # of transformers, about tracing
def test_a_bert_of_transformers_is_exported_packed(tmp_path):
    onnxruntime = needs("onnxruntime")
    needs("onnx")
    transformers = needs("transformers")
    config = transformers.BertConfig(
        vocab_size=64, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128
    )
    config.return_dict = False
    model = transformers.BertForSequenceClassification(config).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tamis.OneShot(sparsity=0.9, exclude="classifier").attach(model, optimizer).finalize()
    tamis.sparsify(model)
    assert is_packed(model.bert.encoder.layer[0].attention.self.query)
    example = (torch.zeros(1, 12, dtype=torch.long), torch.ones(1, 12, dtype=torch.long))
    file = export_onnx(model, example, tmp_path / "bert.onnx", inputs=["tokens", "attention"])
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    tokens, attention = torch.randint(64, (3, 12)), torch.ones(3, 12, dtype=torch.long)
    attention[1, 8:] = 0
    (theirs,) = session.run(None, {"tokens": tokens.numpy(), "attention": attention.numpy()})
    with torch.no_grad():
        (ours,) = model(tokens, attention)
    assert torch.allclose(torch.from_numpy(theirs), ours, atol=1e-5)
