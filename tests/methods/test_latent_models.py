"""What models with latent weights are to others: states, copies, compiled, tied and finished models."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
import torch
from latent_runs import METHODS, NAMES, STEPS, attached
from method_runs import OPTIMIZERS, Tied, assert_same_state, mlp, train

from tamis.errors import UsageError
from tamis.kernels import choices
from tamis.methods import KeepZeros
from tamis.sparsity import mask_hash


@pytest.mark.parametrize("method", METHODS)
def test_loading_what_the_model_holds_changes_no_latent_weight(method):
    model, optimizer, sparsifier = attached(method)
    train(model, optimizer, range(5))
    before = sparsifier.latent_weights()
    model.load_state_dict(copy.deepcopy(model.state_dict()))
    after = sparsifier.latent_weights()
    assert all(torch.equal(before[name], after[name]) for name in NAMES)


@pytest.mark.parametrize("method", METHODS)
def test_a_weight_that_is_edited_becomes_the_latent_weight_and_no_other_moves(method):
    model, optimizer, sparsifier = attached(method)
    train(model, optimizer, range(5))
    before, mask = sparsifier.latent_weights(), sparsifier.masks["3"]
    place = tuple(mask.nonzero()[0].tolist())
    with torch.no_grad():
        model[3].weight[place] = 0.75
    after = sparsifier.latent_weights()
    threshold = sparsifier.thresholds()["3"] if method == "str" else 0.0
    assert float(after["3"][place]) == pytest.approx(0.75 + threshold, rel=1e-6)
    after["3"][place] = before["3"][place]
    assert all(torch.equal(before[name], after[name]) for name in NAMES)


@pytest.mark.parametrize("method", METHODS)
def test_the_state_survives_json_and_an_incomplete_one_is_refused(method):
    model, optimizer, sparsifier = attached(method)
    train(model, optimizer, range(7))
    state = sparsifier.state_dict()
    assert json.loads(json.dumps(state["json"])) == state["json"]
    twin, _, other = attached(method, model=mlp(seed=4))
    other.load_state_dict(state)
    for name in NAMES:  # the effective weights are there at once, before the model's own state is loaded
        assert torch.equal(twin.get_submodule(name).weight, model.get_submodule(name).weight)
    del state["tensors"]["latent/3"]
    with pytest.raises(UsageError, match=r"lacks the latent weights of \['3'\]"):
        other.load_state_dict(state)


@pytest.mark.parametrize("method", METHODS)
def test_a_deep_copy_and_a_pickle_are_plain_sparse_models(method):
    model, optimizer, sparsifier = attached(method)
    train(model, optimizer, range(5))
    twin = copy.deepcopy(model)
    assert_same_state(model, twin)
    assert_same_state(model, pickle.loads(pickle.dumps(model)))
    frozen = {key: value.clone() for key, value in twin.state_dict().items()}
    train(model, optimizer, range(5, 8))
    assert all(torch.equal(frozen[key], value) for key, value in twin.state_dict().items())
    assert sparsifier.step == 8


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own tracing raises it while it inspects code
@pytest.mark.parametrize("method", METHODS)
def test_a_compiled_forward_pass_sees_the_effective_weights(method, monkeypatch):
    monkeypatch.setattr(choices, "mode", "sparse")  # a compiled graph does not measure; the dense side rounds otherwise
    options = {"packed": True, "end": 0.2} if method == "dpf" else {}
    plain, optimizer, _ = attached(method, **options)
    train(plain, optimizer, range(6))
    model = mlp()
    compiled = torch.compile(model, backend="eager")
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    METHODS[method](**options).attach(compiled, optimizer)
    train(compiled, optimizer, range(6))
    assert_same_state(plain, model)


@pytest.mark.parametrize("method", METHODS)
def test_tied_and_frozen_weights_are_fine(method):
    torch.manual_seed(0)
    model = Tied()
    model.head.weight.requires_grad_(False)
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparsifier = METHODS[method](on_collapse="warn").attach(model, optimizer)
    train(model, optimizer, range(STEPS))
    assert model.decode.weight is model.encode.weight
    assert list(sparsifier.masks) == ["encode", "head"]
    assert not model.decode.weight[~sparsifier.masks["encode"]].any()
    assert set(model.state_dict()) == {"encode.weight", "decode.weight", "head.weight", "head.bias"}


@pytest.mark.parametrize("method", METHODS)
def test_finalize_leaves_the_sparse_model_and_keep_zeros_trains_on(method):
    model, optimizer, sparsifier = attached(method)
    train(model, optimizer, range(STEPS - 3))
    effective = {name: model.get_submodule(name).weight.detach().clone() for name in NAMES}
    masks = sparsifier.masks
    assert sparsifier.finalize() is model
    for name in NAMES:
        weight = model.get_submodule(name).weight.detach()
        assert torch.equal(weight, effective[name])
        assert not torch.signbit(weight[~masks[name]]).any()
    assert sparsifier.events[-1]["hash"] == mask_hash(masks)  # also when the last change was not a recorded one
    assert sum(row["live"] for row in sparsifier.report()["layers"]) == sum(int(mask.sum()) for mask in masks.values())
    assert not optimizer._optimizer_step_pre_hooks
    assert [len(group["params"]) for group in optimizer.param_groups] == [8]
    KeepZeros().attach(model, optimizer)
    train(model, optimizer, range(STEPS, STEPS + 4))
    state = model.state_dict()
    assert all(not state[f"{name}.weight"][~masks[name]].any() for name in NAMES)
    assert any(not torch.equal(state[f"{name}.weight"], effective[name]) for name in NAMES)


@pytest.mark.parametrize("method", METHODS)
def test_after_detach_the_model_is_sparse_and_the_sparsifier_is_spent(method):
    model, optimizer, sparsifier = attached(method)
    train(model, optimizer, range(5))
    effective = {name: model.get_submodule(name).weight.detach().clone() for name in NAMES}
    sparsifier.detach()
    assert all(torch.equal(model.get_submodule(name).weight, effective[name]) for name in NAMES)
    with pytest.raises(UsageError, match="has governed 5 steps already"):
        sparsifier.attach(model, optimizer)
