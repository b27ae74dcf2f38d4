"""Methods inside the training loops of other people, and going on from their checkpoints."""

from __future__ import annotations

import pytest
import torch

from .optional_packages import needs

pytestmark = pytest.mark.filterwarnings("ignore")  # of the frameworks, about their own workers, devices and futures


def zeros(module: torch.nn.Module) -> float:
    """Share of zeros in the weights of the linear layers."""
    weights = [m.weight for m in module.modules() if isinstance(m, torch.nn.Linear)]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


def test_the_lightning_example_ends_with_the_sparsity_that_was_asked_for(example, capsys):
    needs("lightning")
    needs("sklearn")
    found = example("lightning_loop")
    assert zeros(found["model"].network) == pytest.approx(0.9, abs=1e-3)
    assert zeros(found["dense"]) < 0.5
    assert "0.900 of the weights are zero" in capsys.readouterr().out


@pytest.mark.parametrize("stop", [2, 5], ids=["in a dense phase", "in a sparse phase"])
def test_a_lightning_run_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(example, tmp_path, stop):
    needs("lightning")
    needs("sklearn")
    found = example("lightning_loop", run_name="example")
    torch.set_num_threads(1)
    batches = found["loader"]()

    def build():
        torch.manual_seed(3)
        return found["Digits"](total_steps=8 * len(batches))

    whole = build()
    found["trainer"](8, tmp_path).fit(whole, batches)

    part = build()
    first = found["trainer"](stop, tmp_path)
    first.fit(part, batches)
    first.save_checkpoint(tmp_path / "part.ckpt")
    phase = part.sparsifier.phase
    resumed = build()
    found["trainer"](8, tmp_path).fit(resumed, batches, ckpt_path=tmp_path / "part.ckpt")

    assert phase == {2: "dense", 5: "sparse"}[stop]
    assert resumed.sparsifier.step == whole.sparsifier.step == 8 * len(batches)
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


def test_the_skorch_example_searches_over_sparsity_inside_a_pipeline(example, capsys):
    needs("skorch")
    needs("sklearn")
    found = example("skorch_pipeline")
    chosen = found["search"].best_params_[found["name"]]
    assert zeros(found["module"]) == pytest.approx(chosen, abs=1e-3)
    assert found["search"].best_score_ > 0.9
    assert not found["module"][0].weight._backward_hooks
    assert "accuracy" in capsys.readouterr().out


def test_the_trainer_of_transformers_trains_a_model_that_stays_sparse(example, capsys):
    needs("transformers")
    needs("accelerate")
    found = example("transformers_trainer")
    encoder = found["model"].bert.encoder
    assert zeros(encoder) == pytest.approx(0.8, abs=0.05)  # global: the pooler shares the zeros
    assert found["sparsifier"].report()["sparsity"] == pytest.approx(0.8, abs=1e-3)
    assert found["sparsifier"].step == found["STEPS"]
    assert "0.800 of the weights" in capsys.readouterr().out


def test_the_trainer_of_transformers_goes_on_from_its_checkpoint(example, tmp_path):
    needs("transformers")
    needs("accelerate")
    found = example("transformers_trainer", run_name="example")
    torch.set_num_threads(1)
    whole, method, trainer = found["build"](tmp_path / "run")
    trainer.train()
    half = tmp_path / "run" / f"checkpoint-{found['STEPS'] // 2}"
    model, again, trainer = found["build"](tmp_path / "resumed", half)
    trainer.train(resume_from_checkpoint=str(half))
    assert again.step == method.step == found["STEPS"]
    for key, value in whole.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
