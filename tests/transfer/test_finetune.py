"""Full fine-tuning: zeros stay zero in every circumstance, runs are paired by seed, and a stopped run goes on."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import tamis
from tamis.errors import UsageError
from tamis.methods import KeepZeros
from tamis.nn import is_packed
from tamis.train import Interrupted, Optimizer
from tamis.transfer import Diverged, FineTuneOptions, RevivedError, check_kept, fine_tune, held_sparsity, paper_options
from tamis.transfer._finetune_state import FineTuning

from .tiny import TRANSFORM, tiny_network, tiny_task

RULES = {
    "sgd": Optimizer(lr=0.05),
    "nesterov": Optimizer(lr=0.05, nesterov=True),
    "adam": Optimizer("adam", lr=0.01),
    "adamw": Optimizer("adamw", lr=0.01, weight_decay=0.1),
}
SHORT = FineTuneOptions(epochs=2, batch_size=16, optimizer=Optimizer(lr=0.05))


pytestmark = pytest.mark.usefixtures("sparse_side")


def batches(count):
    generator = torch.Generator().manual_seed(3)
    for _ in range(count):
        yield torch.randn(6, 3, 8, 8, generator=generator), torch.randint(3, (6,), generator=generator)


def states(run, name):
    """Optimizer state of a layer in the dense shape."""
    layer = run.model.get_submodule(name)
    found = run.optimizer.state[layer.weight].values()
    arrays = [value for value in found if isinstance(value, torch.Tensor) and value.numel() > 1]
    return [layer.pattern.unpack(value) if is_packed(layer) else value for value in arrays]


@pytest.mark.parametrize("packed", ["auto", "never"])
@pytest.mark.parametrize("rule", RULES)
def test_zeros_are_kept_over_100_steps_with_clipping(rule, packed):
    model, masks = tiny_network()
    options = FineTuneOptions(optimizer=RULES[rule], clip_norm=1.0, packed=packed)
    run = FineTuning(model.train(), masks, "fc", options)
    assert is_packed(run.model.conv2) == (packed == "auto")
    for number, (images, labels) in enumerate(batches(100)):
        run.train_step(images, labels)
        if number % 10 == 0:
            check_kept(run.model, masks)
    check_kept(run.model, masks)
    assert held_sparsity(run.model, masks, "fc") == pytest.approx(
        sum(int((~mask).sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
    )
    for name, mask in masks.items():
        assert states(run, name)
        assert all(int(torch.count_nonzero(state[~mask])) == 0 for state in states(run, name))
    assert int(torch.count_nonzero(run.model.fc.weight)) == run.model.fc.weight.numel()


def test_gradients_of_pruned_weights_do_not_count_in_the_clipped_norm():
    model, masks = tiny_network()
    run = FineTuning(model.train(), masks, "fc", FineTuneOptions(packed="never", clip_norm=0.1))
    images, labels = next(batches(1))
    F.cross_entropy(run.model(images), labels).backward()
    run.sparsifier.mask_gradients()
    assert all(
        int(torch.count_nonzero(run.model.get_submodule(name).weight.grad[~mask])) == 0 for name, mask in masks.items()
    )


def test_a_packed_step_equals_a_masked_one():
    model, masks = tiny_network()
    runs = [
        FineTuning(copy.deepcopy(model).train(), masks, "fc", FineTuneOptions(packed=packed, optimizer=RULES["sgd"]))
        for packed in ("always", "never")
    ]
    for images, labels in batches(5):
        losses = [run.train_step(images, labels) for run in runs]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    first, second = (run.finish() for run in runs)
    for key, value in first.state_dict().items():
        assert torch.allclose(value.float(), second.state_dict()[key].float(), atol=1e-4), key


def test_live_weights_that_are_zero_train_where_the_mask_is_explicit():
    model, masks = tiny_network()
    place = tuple(masks["conv2"].nonzero()[0])
    with torch.no_grad():
        model.conv2.weight[place] = 0.0
    run = FineTuning(model.train(), masks, "fc", SHORT)
    for images, labels in batches(2):
        run.train_step(images, labels)
    assert float(run.finish().conv2.weight.detach()[place]) != 0.0


@pytest.mark.parametrize("packed", ["auto", "never"])
def test_averaged_copies_have_the_same_zeros(packed):
    model, masks = tiny_network()
    run = FineTuning(model.train(), masks, "fc", FineTuneOptions(ema_decay=0.5, packed=packed))
    for images, labels in batches(4):
        run.train_step(images, labels)
    check_kept(run.average.module, masks)
    assert not torch.equal(run.average.module.fc.weight, run.model.fc.weight)
    averaged = run.finish()
    check_kept(averaged, masks)
    assert torch.equal(averaged.fc.weight, run.average.module.fc.weight)


def scaled_step(run, scaler, images, labels, spoil):
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(run.model(images), labels)
    run.optimizer.zero_grad()
    scaler.scale(loss).backward()
    if spoil:
        run.model.fc.bias.grad[0] = float("inf")
    scaler.unscale_(run.optimizer)
    run.sparsifier.mask_gradients()
    scaler.step(run.optimizer)
    scaler.update()


@pytest.mark.parametrize("packed", ["auto", "never"])
def test_mixed_precision_keeps_zeros_and_a_skipped_step_changes_nothing(packed):
    model, masks = tiny_network()
    run = FineTuning(model.train(), masks, "fc", FineTuneOptions(packed=packed, optimizer=RULES["adamw"]))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for images, labels in batches(100):
        scaled_step(run, scaler, images, labels, spoil=False)
    check_kept(run.model, masks)
    parameters = [parameter.detach().clone() for parameter in run.model.parameters()]
    state = copy.deepcopy(run.optimizer.state_dict()["state"])
    images, labels = next(batches(1))
    scaled_step(run, scaler, images, labels, spoil=True)
    assert all(torch.equal(a, b) for a, b in zip(parameters, run.model.parameters(), strict=True))
    after = run.optimizer.state_dict()["state"]
    assert all(torch.equal(state[i][key], after[i][key]) for i in state for key in state[i])
    assert run.sparsifier.step == 100


def test_the_whole_run_reports_sparsity_before_and_after_and_learns():
    model, masks = tiny_network(share=0.3)
    task = tiny_task()
    found = fine_tune(model, masks, task, TRANSFORM, replace(SHORT, epochs=12))
    assert found.sparsity_before == found.sparsity_after > 0.6
    assert found.outcomes[0].selection == "last"
    assert found.outcomes[0].test.top1 > 0.8
    assert len(found.history) == 12
    assert not torch.equal(found.model.bn1.running_mean, model.bn1.running_mean)  # batch norms adapt
    assert type(found.model.conv2) is torch.nn.Conv2d
    assert not found.model.training


def test_a_dense_baseline_is_the_same_call_without_masks():
    model, _ = tiny_network(share=1.1)
    found = fine_tune(model, {}, tiny_task(), TRANSFORM, SHORT)
    assert found.sparsity_before == found.sparsity_after == 0.0


def test_runs_are_paired_by_task_and_seed_whatever_the_method(monkeypatch):
    seen = []
    step = FineTuning.train_step

    def watched(run, images, labels):
        seen.append((images.clone(), labels.clone(), run.model.fc.weight.detach().clone()))
        return step(run, images, labels)

    monkeypatch.setattr(FineTuning, "train_step", watched)
    records = []
    for model, masks in (tiny_network(), tiny_network(share=0.5, seed=8)):
        torch.randn(13)  # whatever ran before
        fine_tune(model, masks, tiny_task(), TRANSFORM, replace(SHORT, epochs=1), seed=4)
        records.append(list(seen))
        seen.clear()
    first, second = records
    assert torch.equal(first[0][2], second[0][2])  # the initial head
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, second, strict=True))
    fine_tune(*tiny_network(), tiny_task(), TRANSFORM, replace(SHORT, epochs=1), seed=5)
    assert not torch.equal(seen[0][2], first[0][2])
    assert not torch.equal(seen[0][1], first[0][1])


def test_a_remainder_of_one_image_joins_the_batch_before(monkeypatch):
    sizes = []
    step = FineTuning.train_step
    monkeypatch.setattr(
        FineTuning, "train_step", lambda run, images, labels: (sizes.append(len(images)), step(run, images, labels))[1]
    )
    fine_tune(*tiny_network(), tiny_task(n_train=49), TRANSFORM, replace(SHORT, epochs=1))
    assert sizes == [16, 16, 17]


def test_validation_chooses_the_learning_rate_and_a_diverged_one_loses(tmp_path):
    model, masks = tiny_network(share=0.3)
    options = replace(SHORT, epochs=12, rates=(1e30, 0.05, 1e-5))
    rows = []
    found = fine_tune(model, masks, tiny_task(), TRANSFORM, options, folder=tmp_path, log=rows.append)
    assert found.lr == 0.05
    assert found.rates["1e+30"] == -1.0
    assert [row["lr"] for row in rows if row["kind"] == "candidate"] == [1e30, 0.05, 1e-5]
    with pytest.raises(Diverged, match="smaller"):
        fine_tune(model, masks, tiny_task(), TRANSFORM, replace(SHORT, rates=(1e30,)))
    with pytest.raises(Diverged, match="choose a smaller learning rate"):
        fine_tune(model, masks, tiny_task(), TRANSFORM, replace(SHORT, optimizer=Optimizer(lr=1e30)))


class StopAfter:
    """Asks for a stop once it was looked at so often."""

    def __init__(self, looks):
        self.looks = looks

    @property
    def requested(self):
        self.looks -= 1
        return self.looks < 0


@pytest.mark.parametrize("options", [{"ema_decay": 0.5}, {"validate": True}, {"packed": "never"}])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, options):
    model, masks = tiny_network()
    options = replace(SHORT, epochs=3, **options)
    whole = fine_tune(model, masks, tiny_task(), TRANSFORM, options, folder=tmp_path / "whole", recipe="r")
    with pytest.raises(Interrupted, match="after step 5"):
        fine_tune(model, masks, tiny_task(), TRANSFORM, options, folder=tmp_path / "cut", recipe="r", stop=StopAfter(4))
    again = fine_tune(model, masks, tiny_task(), TRANSFORM, options, folder=tmp_path / "cut", recipe="r")
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key
    assert [outcome.test for outcome in whole.outcomes] == [outcome.test for outcome in again.outcomes]
    with pytest.raises(UsageError, match="another recipe"):
        fine_tune(model, masks, tiny_task(), TRANSFORM, options, folder=tmp_path / "cut", recipe="other")


def test_a_revived_weight_is_an_error_and_no_silent_dense_layer():
    model, masks = tiny_network()
    with torch.no_grad():
        model.conv1.weight[tuple((~masks["conv1"]).nonzero()[0])] = 1.0
    with pytest.raises(RevivedError, match="1 pruned weights in 1 layers"):
        fine_tune(model, masks, tiny_task(), TRANSFORM, SHORT)


def test_the_paper_recipe_has_its_constants():
    options = paper_options("pets")
    assert (options.optimizer.lr, options.epochs, options.batch_size, options.schedule) == (0.001, 150, 64, "paper")
    assert (options.optimizer.momentum, options.optimizer.weight_decay) == (0.9, 5e-4)
    assert paper_options("cars").optimizer.lr == paper_options("aircraft").optimizer.lr == 0.01


def test_given_masks_must_fit():
    model, masks = tiny_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for wrong in ({"conv9": masks["conv1"]}, {"conv1": masks["conv2"]}, {"conv1": masks["conv1"].float()}):
        with pytest.raises(UsageError, match="a mask for"):
            KeepZeros(wrong).attach(model, optimizer)
    sparsifier = KeepZeros({"conv1": masks["conv1"]}, exclude=("fc",)).attach(model, optimizer)
    assert bool(sparsifier.masks["conv2"].all())  # zeros of layers without a mask are not held
    assert isinstance(sparsifier, tamis.Sparsifier)


@pytest.mark.parametrize("bad", [{"batch_size": 1}, {"epochs": 0}, {"ema_decay": 1.0}, {"rates": (0.1, 0.1)}])
def test_choices_out_of_range_are_refused(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        FineTuneOptions(**bad)
