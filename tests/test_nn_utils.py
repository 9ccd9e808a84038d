"""nn.utils: parametrizations, pruning, functional calls, fusion; without PyTorch."""

import copy
import pickle

import pytest

import dlgrad
from dlgrad import nn
from dlgrad.func import functional_call
from dlgrad.nn.utils import parametrizations, parametrize, prune, stateless


class Double(nn.Module):
    def forward(self, x):
        return 2 * x

    def right_inverse(self, y):
        return y / 2


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).T


class RankOne(nn.Module):
    def forward(self, x, y):
        return x.unsqueeze(-1) @ y.unsqueeze(-2)

    def right_inverse(self, z):
        return z[:, 0], z[0] / z[0, 0]


class Counting(nn.Module):
    calls = 0

    def forward(self, x):
        Counting.calls += 1
        return x.clone()


# ---------------------------------------------------------------------- parametrize


def test_a_parametrized_parameter():
    layer = nn.Linear(3, 3)
    weight, values = layer.weight, layer.weight.detach().clone()
    assert parametrize.register_parametrization(layer, "weight", Symmetric()) is layer
    assert type(layer).__name__ == "ParametrizedLinear"
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    assert parametrize.is_parametrized(layer) and parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert layer.parametrizations.weight.original is weight  # optimizers that hold it stay right
    assert dlgrad.equal(layer.weight, layer.weight.T)
    layer(dlgrad.ones(2, 3)).sum().backward()
    assert weight.grad.tril(-1).abs().sum() == 0 and weight.grad.triu().abs().min() >= 0
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert type(layer) is nn.Linear and layer.weight is weight
    assert dlgrad.equal(layer.weight, values)
    assert set(layer.state_dict()) == {"weight", "bias"}


def test_assignment_goes_through_right_inverse():
    layer = nn.Linear(2, 2)
    values = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Double())
    assert dlgrad.equal(layer.weight, values)
    layer.weight = dlgrad.ones(2, 2)
    assert layer.parametrizations.weight.original.tolist() == [[0.5, 0.5]] * 2
    parametrize.register_parametrization(layer, "weight", Double())
    assert layer.weight.tolist() == [[2, 2]] * 2
    layer.weight = dlgrad.ones(2, 2)
    assert layer.parametrizations.weight.original.tolist() == [[0.25, 0.25]] * 2
    parametrize.remove_parametrizations(layer, "weight")
    assert isinstance(layer.weight, nn.Parameter) and layer.weight.tolist() == [[1, 1]] * 2


def test_several_originals():
    layer = nn.Linear(2, 3, bias=False)
    parametrize.register_parametrization(layer, "weight", RankOne())
    names = [name for name, _ in layer.named_parameters()]
    assert names == [f"parametrizations.weight.original{i}" for i in range(2)]
    with pytest.raises(ValueError, match="Cannot leave unparametrized"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    value = layer.weight.detach().clone()
    parametrize.remove_parametrizations(layer, "weight")
    assert layer.weight.is_leaf and dlgrad.equal(layer.weight, value)


def test_buffers_copies_and_pickles():
    norm = nn.BatchNorm1d(2)
    parametrize.register_parametrization(norm, "running_mean", Double())
    assert "parametrizations.running_mean.original" in dict(norm.named_buffers())
    twin = copy.deepcopy(norm)
    twin.parametrizations.running_mean.original.fill_(3)
    assert twin.running_mean.tolist() == [6, 6] and norm.running_mean.tolist() == [0, 0]
    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        pickle.dumps(norm)
    norm.load_state_dict(twin.state_dict())
    assert norm.running_mean.tolist() == [6, 6]


def test_cached():
    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", Counting())
    Counting.calls = 0
    with parametrize.cached():
        assert layer.weight is layer.weight
        assert Counting.calls == 1
    assert layer.weight is not layer.weight
    assert Counting.calls == 3


def test_transfer():
    source, target = nn.Linear(3, 3), nn.Linear(3, 3)
    assert parametrize.transfer_parametrizations_and_params(source, target) is target
    parametrize.register_parametrization(source, "weight", Symmetric())
    parametrize.transfer_parametrizations_and_params(source, target)
    assert dlgrad.equal(source.weight, target.weight)
    assert target.parametrizations.weight.original is source.parametrizations.weight.original


class Transposed(nn.Module):
    def forward(self, x):
        return x.T


class ToDouble(nn.Module):
    def forward(self, x):
        return x.double()


@pytest.mark.parametrize(
    ("parametrization", "name", "text"),
    [
        (Transposed(), "weight", "may not change the shape"),
        (ToDouble(), "weight", "may not change the dtype"),
        (Double(), "nothing", "does not have a parameter, a buffer"),
    ],
)
def test_parametrizations_that_do_not_fit(parametrization, name, text):
    layer = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=text):
        parametrize.register_parametrization(layer, name, parametrization)
    assert type(layer) is nn.Linear
    parametrize.register_parametrization(layer, "weight", Double())
    if name == "weight":
        with pytest.raises(ValueError, match=text):
            parametrize.register_parametrization(layer, name, parametrization)
        parametrize.register_parametrization(layer, name, parametrization, unsafe=True)
    with pytest.raises(ValueError, match="does not have a parametrization on bias"):
        parametrize.remove_parametrizations(layer, "bias")


def test_no_right_inverse():
    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    with pytest.raises(RuntimeError, match="Symmetric does not implement right_inverse"):
        layer.weight = dlgrad.ones(2, 2)


# ---------------------------------------------------------------------- norms of weights


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(dim):
    layer = nn.Linear(3, 4)
    values = layer.weight.detach().clone()
    parametrizations.weight_norm(layer, dim=dim)
    assert dlgrad.allclose(layer.weight, values)
    g, v = (getattr(layer.parametrizations.weight, f"original{i}") for i in range(2))
    assert tuple(g.shape) == {0: (4, 1), 1: (1, 3), None: ()}[dim]
    with dlgrad.no_grad():
        g.fill_(2), v.mul_(7)
    norms = layer.weight.norm() if dim is None else layer.weight.norm(dim=1 - dim)
    assert dlgrad.allclose(norms, dlgrad.full_like(norms, 2.0))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_hooks_of_norms():
    layer = nn.Linear(3, 4)
    values = layer.weight.detach().clone()
    for add, remove in (
        (nn.utils.weight_norm, nn.utils.remove_weight_norm),
        (nn.utils.spectral_norm, nn.utils.remove_spectral_norm),
    ):
        add(layer)
        with pytest.raises(RuntimeError, match="Cannot register two"):
            add(layer)
        assert not isinstance(layer.weight, nn.Parameter)
        layer(dlgrad.ones(1, 3)).sum().backward()
        remove(layer)
        assert isinstance(layer.weight, nn.Parameter)
        assert set(layer.state_dict()) == {"weight", "bias"}
        with pytest.raises(ValueError, match="not found in"):
            remove(layer)
    ratio = layer.weight.detach() / values
    assert dlgrad.allclose(ratio, ratio[0, 0].expand(4, 3))  # only spectral norm changes values
    assert not layer._forward_pre_hooks and not layer._load_state_dict_pre_hooks


def test_spectral_norm_comes_to_one():
    layer = nn.Conv2d(3, 4, 2)
    parametrizations.spectral_norm(layer, n_power_iterations=50)
    matrix = layer.weight.detach().reshape(4, -1)
    gram = matrix @ matrix.T
    for _ in range(10):  # the largest eigenvalue by squaring
        gram = gram @ gram
    assert float(gram.norm()) ** (1 / 1024) == pytest.approx(1, abs=2e-3)
    layer.eval()
    before = layer.parametrizations.weight[0]._u.clone()
    _ = layer.weight
    assert dlgrad.equal(before, layer.parametrizations.weight[0]._u)
    with pytest.raises(IndexError, match="Dimension out of range"):
        parametrizations.spectral_norm(nn.Linear(2, 2), dim=2)


# ---------------------------------------------------------------------- pruning


def test_pruned_elements_stay_zero():
    layer = nn.Linear(4, 3)
    assert not prune.is_pruned(nn.Sequential(layer))
    prune.l1_unstructured(layer, "weight", 5)
    assert prune.is_pruned(nn.Sequential(layer))
    assert set(dict(layer.named_parameters())) == {"weight_orig", "bias"}
    zeros = layer.weight == 0
    assert int(zeros.sum()) == 5
    kept = layer.weight_orig.detach().abs()[~zeros]
    assert float(layer.weight_orig.detach().abs()[zeros].max()) <= float(kept.min())
    optimizer = dlgrad.optim.SGD(layer.parameters(), lr=1.0)
    layer(dlgrad.ones(2, 4)).sum().backward()
    optimizer.step()
    layer(dlgrad.ones(2, 4))
    assert dlgrad.equal(layer.weight == 0, zeros)
    value = layer.weight.detach().clone()
    prune.remove(layer, "weight")
    assert isinstance(layer.weight, nn.Parameter) and dlgrad.equal(layer.weight, value)
    assert set(layer.state_dict()) == {"weight", "bias"}
    with pytest.raises(ValueError, match="has to be pruned before"):
        prune.remove(layer, "weight")


def test_pruning_again_leaves_what_is_pruned():
    dlgrad.manual_seed(3)  # one that prunes no whole row by chance
    layer = nn.Linear(10, 10)
    for left in (50, 25):
        prune.random_unstructured(layer, "weight", 0.5)
        assert int((layer.weight_mask == 1).sum()) == left
    (hook,) = layer._forward_pre_hooks.values()
    assert isinstance(hook, prune.PruningContainer) and len(hook) == 2
    prune.ln_structured(layer, "weight", 4, n=2, dim=0)
    assert int((layer.weight_mask.sum(1) == 0).sum()) == 4


def test_pruning_with_given_masks_and_scores():
    layer = nn.Linear(2, 2)
    prune.custom_from_mask(layer, "bias", dlgrad.tensor([1, 0]))
    assert layer.bias[1] == 0 and layer.bias_mask.dtype is layer.bias_orig.dtype
    scores = dlgrad.tensor([[4.0, 1.0], [2.0, 3.0]])
    prune.l1_unstructured(layer, "weight", 2, importance_scores=scores)
    assert layer.weight_mask.tolist() == [[1, 0], [0, 1]]
    method = prune.L1Unstructured(0.5)
    assert method.prune(scores).tolist() == [[4, 0], [0, 3]]


def test_global_pruning():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with dlgrad.no_grad():
        model[0].weight.fill_(0.1), model[1].weight.fill_(1.0)
    pairs = [(layer, "weight") for layer in model]
    prune.global_unstructured(pairs, prune.L1Unstructured, amount=4)
    assert model[0].weight.abs().sum() == 0 and model[1].weight_mask.sum() == 4
    with pytest.raises(TypeError, match='Only "unstructured"'):
        prune.global_unstructured(pairs, prune.RandomStructured, amount=1)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda m: prune.l1_unstructured(m, "weight", "x"), TypeError, "Invalid type for amount"),
        (lambda m: prune.l1_unstructured(m, "weight", 1.5), ValueError, "should either be a float"),
        (lambda m: prune.l1_unstructured(m, "weight", -1), ValueError, "should either be a float"),
        (lambda m: prune.l1_unstructured(m, "weight", 99), ValueError, "should be smaller"),
        (lambda m: prune.ln_structured(m, "bias", 1, 2, 0), ValueError, "multidimensional"),
        (lambda m: prune.ln_structured(m, "weight", 1, 2, 2), IndexError, "Invalid index 2"),
    ],
)
def test_pruning_errors_leave_the_module_alone(make, error, text):
    layer = nn.Linear(2, 2)
    with pytest.raises(error, match=text):
        make(layer)
    assert set(layer.state_dict()) == {"weight", "bias"} and not layer._forward_pre_hooks


# ---------------------------------------------------------------------- functional calls


def test_functional_call_takes_other_parameters():
    layer = nn.Linear(2, 1)
    own = layer.weight
    weight = dlgrad.tensor([[1.0, 2.0]], requires_grad=True)
    out = functional_call(layer, [{"weight": weight}, {"bias": dlgrad.zeros(1)}], dlgrad.ones(3, 2))
    assert out.tolist() == [[3.0]] * 3
    out.sum().backward()
    assert weight.grad.tolist() == [[3, 3]] and own.grad is None and layer.weight is own
    with pytest.raises(RuntimeError):
        functional_call(layer, {"weight": weight}, dlgrad.ones(3, 5))
    assert layer.weight is own
    with pytest.warns(FutureWarning, match="deprecated"):
        stateless.functional_call(layer, {}, dlgrad.ones(3, 2))


def test_functional_call_and_tied_parameters():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    one, two, x = dlgrad.eye(2), 3 * dlgrad.eye(2), dlgrad.ones(1, 2)
    assert functional_call(model, {"0.weight": two}, x).tolist() == [[9, 9]]
    both = {"0.weight": one, "1.weight": two}
    assert functional_call(model, both, x, tie_weights=False).tolist() == [[3, 3]]
    with pytest.raises(ValueError, match="which are tied"):
        functional_call(model, both, x)
    assert model[1].weight is model[0].weight


def test_functional_call_errors():
    layer, x = nn.Linear(2, 1), dlgrad.ones(1, 2)
    weight = {"weight": dlgrad.ones(1, 2)}
    with pytest.raises(RuntimeError, match="Missing key.s.: 'bias'"):
        functional_call(layer, weight, x, strict=True)
    with pytest.raises(RuntimeError, match="Unexpected key.s.: 'other'"):
        functional_call(layer, {"other": x}, x, strict=True)
    with pytest.raises(ValueError, match="appeared in multiple dictionaries"):
        functional_call(layer, [weight, weight], x)
    with pytest.raises(ValueError, match="to be a dict, or a list/tuple of dicts"):
        functional_call(layer, 3, x)
    with pytest.raises(TypeError, match="not an instance of"):
        functional_call(layer, {"weight": 3}, x)
    with pytest.raises(KeyError, match="be empty string"):
        functional_call(layer, {"": x}, x)
    with pytest.raises(AttributeError, match="has no attribute `deep`"):
        functional_call(layer, {"weight": weight["weight"], "deep.weight": x}, x)
    assert isinstance(layer.weight, nn.Parameter)


# ---------------------------------------------------------------------- fusion and memory


def test_fused_layers_forget_nothing():
    norm = nn.BatchNorm1d(4)
    norm.running_mean.uniform_(), norm.running_var.uniform_(0.5, 2)
    for layer, x in ((nn.Linear(3, 4, bias=False), dlgrad.randn(5, 3)),):
        with pytest.raises(AssertionError, match="Fusion only for eval"):
            nn.utils.fuse_linear_bn_eval(layer, norm)
        layer.eval(), norm.eval()
        fused = nn.utils.fuse_linear_bn_eval(layer, norm)
        assert dlgrad.allclose(fused(x), norm(layer(x)), atol=1e-6)
        assert layer.bias is None
    with pytest.raises(AssertionError, match="linear.out_features"):
        nn.utils.fuse_linear_bn_eval(nn.Linear(2, 3).eval(), norm)


def test_skip_init_draws_nothing():
    dlgrad.manual_seed(0)
    expected = dlgrad.rand(1)
    dlgrad.manual_seed(0)
    layer = nn.utils.skip_init(nn.Linear, 3, out_features=2)
    assert dlgrad.equal(dlgrad.rand(1), expected)
    assert tuple(layer.weight.shape) == (2, 3) and layer.weight.requires_grad
    assert dlgrad.nn.init.ones_(layer.weight).sum() == 6
    with pytest.raises(RuntimeError, match="Expected a Module"):
        nn.utils.skip_init(dict)
    with pytest.raises(RuntimeError, match="must support a 'device' arg"):
        nn.utils.skip_init(nn.ReLU)


def test_memory_formats_keep_values():
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Conv3d(2, 3, 2))
    before = [layer.weight.detach().clone() for layer in model]
    nn.utils.convert_conv2d_weight_memory_format(model, dlgrad.channels_last)
    nn.utils.convert_conv3d_weight_memory_format(model, dlgrad.channels_last_3d)
    for layer, old in zip(model, before):
        assert dlgrad.equal(layer.weight, old) and isinstance(layer.weight, nn.Parameter)
