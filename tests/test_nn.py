"""Modules by themselves: registration, state dicts, hooks, containers, copies, errors."""

import copy
import gc
import math
import pickle
import subprocess
import sys
import weakref
from collections import OrderedDict

import numpy as np
import pytest
from arrays import array

import dlgrad
from dlgrad import nn
from dlgrad.nn import functional as F

# ---------------------------------------------------------------------------------------------- init


def test_gains():
    gains = {"linear": 1, "conv2d": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": 2**0.5, "selu": 0.75}
    for name, gain in gains.items():
        assert nn.init.calculate_gain(name) == gain
    assert nn.init.calculate_gain("leaky_relu", 0.3) == (2 / 1.09) ** 0.5
    with pytest.raises(ValueError, match="nonlinearity"):
        nn.init.calculate_gain("sin")


# ---------------------------------------------------------------------------------------------- Module


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(dlgrad.ones(4))
        self.register_buffer("seen", dlgrad.zeros(1))
        self.register_buffer("scratch", dlgrad.zeros(2), persistent=False)
        self.rest = nn.ModuleList([nn.Linear(4, 4), nn.Dropout(0.5)])

    def forward(self, x):
        return self.rest[1](self.rest[0](self.first(x) * self.scale))


def test_registration():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "scale",
        "first.weight",
        "first.bias",
        "rest.0.weight",
        "rest.0.bias",
    ]
    assert [name for name, _ in net.named_buffers()] == ["seen", "scratch"]
    assert list(net.state_dict()) == [
        "scale",
        "seen",
        "first.weight",
        "first.bias",
        "rest.0.weight",
        "rest.0.bias",
    ]
    assert [name for name, _ in net.named_children()] == ["first", "rest"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert net.get_submodule("rest.0") is net.rest[0]
    assert net.get_parameter("first.bias") is net.first.bias
    assert "scale" in dir(net)
    net.first.weight = None
    assert "first.weight" not in net.state_dict()
    net.tied = net.rest[0]
    assert len(list(net.parameters())) == 4  # each once
    del net.scale
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'scale'"):
        net.scale  # noqa: B018
    net.scale = dlgrad.ones(2)  # a plain attribute now
    assert "scale" not in dict(net.named_parameters())
    net.scale = nn.Parameter(dlgrad.ones(2))
    assert "scale" in dict(net.named_parameters())
    net.scratch = dlgrad.ones(2)
    assert net._buffers["scratch"].tolist() == [1, 1]
    net.stats = nn.Buffer(dlgrad.zeros(3), persistent=False)
    assert "stats" in dict(net.named_buffers()) and "stats" not in net.state_dict()


def test_assignment_errors():
    class NoSuper(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 2)

    with pytest.raises(AttributeError, match=r"super\(\).__init__"):
        NoSuper()
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="cannot assign 'int' as parameter 'weight'"):
        layer.weight = 3
    with pytest.raises(TypeError, match="as parameter 'weight'"):
        layer.weight = dlgrad.zeros(2, 2)
    with pytest.raises(TypeError, match="not a Module subclass"):
        nn.Sequential(abs)
    with pytest.raises(KeyError, match="t contain"):
        layer.register_buffer("a.b", dlgrad.zeros(1))
    with pytest.raises(KeyError, match="already exists"):
        layer.register_buffer("forward", dlgrad.zeros(1))
    with pytest.raises(TypeError, match="parameter 'a'"):
        layer.register_parameter("a", 3)
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        nn.Module(x=1)
    with pytest.raises(ValueError, match="non-leaf"):
        layer.register_parameter("b", _non_leaf(layer))


def _non_leaf(layer):
    result = layer.weight * 2
    result.__class__ = nn.Parameter
    return result


def test_load_state_dict_tells_everything_that_is_wrong():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(
            {
                "0.weight": dlgrad.zeros(3, 3),
                "1.weight": dlgrad.zeros(1, 3),
                "2.bias": dlgrad.zeros(1),
            }
        )
    text = str(caught.value)
    for part in (
        'Missing key(s) in state_dict: "0.bias", "1.bias"',
        'Unexpected key(s) in state_dict: "2.bias"',
        "size mismatch for 0.weight",
    ):
        assert part in text
    result = net.load_state_dict({"0.bias": dlgrad.ones(3), "x": dlgrad.zeros(1)}, strict=False)
    assert result.missing_keys == ["0.weight", "1.weight", "1.bias"] and result.unexpected_keys == [
        "x"
    ]
    assert net[0].bias.tolist() == [1, 1, 1]
    assert str(net.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    other = nn.Linear(2, 3)
    given = {
        "weight": dlgrad.ones(3, 2, dtype=dlgrad.float64),
        "bias": dlgrad.ones(3, dtype=dlgrad.float64),
    }
    other.load_state_dict(given, assign=True)
    assert other.weight.dtype == dlgrad.float64 and isinstance(other.weight, nn.Parameter)
    with pytest.raises(TypeError, match="dict-like"):
        other.load_state_dict([1])


def test_state_dict_hooks():
    net = nn.Linear(2, 2)
    calls = []
    handles = [
        net.register_state_dict_pre_hook(
            lambda m, prefix, keep: calls.append(("pre", prefix, keep))
        ),
        net.register_state_dict_post_hook(lambda m, state, prefix, meta: state.update(extra=1)),
        net.register_load_state_dict_pre_hook(lambda m, state, *rest: state.pop("extra", None)),
        net.register_load_state_dict_post_hook(
            lambda m, keys: calls.append(("post", list(keys.missing_keys)))
        ),
    ]
    state = net.state_dict()
    assert list(state) == ["weight", "bias", "extra"]
    net.load_state_dict(state)
    assert calls == [("pre", "", False), ("post", [])]
    for handle in handles:
        handle.remove()
    assert list(net.state_dict()) == ["weight", "bias"]


def test_modes_and_conversion():
    net = Net().eval()
    assert not net.rest[1].training and not net.training
    net.train()
    assert net.rest[1].training
    with pytest.raises(ValueError, match="boolean"):
        net.train(1)
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_()
    weight = net.first.weight
    net(dlgrad.ones(1, 3)).sum().backward()
    assert net.double() is net
    assert (
        net.first.weight is weight
        and weight.dtype == dlgrad.float64
        and weight.grad.dtype == dlgrad.float64
    )
    assert net.seen.dtype == dlgrad.float64
    net.to("cpu").to(dlgrad.float32).to(device="cpu", dtype=dlgrad.float32)
    assert weight.dtype == dlgrad.float32 and weight.requires_grad
    net.zero_grad()
    assert weight.grad is None
    with pytest.raises(TypeError, match="floating"):
        net.to(dlgrad.int64)
    with pytest.raises(AssertionError, match="CPU"):
        net.cuda()
    seen = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "Linear", "Dropout", "ModuleList", "Net"]


def test_copy_and_pickle():
    net = Net().eval()
    x = dlgrad.rand(2, 3)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin(x).tolist() == net(x).tolist()
        assert isinstance(twin.scale, nn.Parameter) and twin.scale.requires_grad
        with dlgrad.no_grad():
            twin.scale.add_(1)
        assert net.scale.tolist() == [1, 1, 1, 1]
    tied = nn.Module()
    tied.a = tied.b = nn.Parameter(dlgrad.ones(2))
    twin = copy.deepcopy(tied)
    assert twin.a is twin.b and twin.a is not tied.a


def test_module_does_not_leak():
    net = Net()
    net.register_forward_hook(lambda *a: None)
    net(dlgrad.ones(1, 3)).sum().backward()
    reference = weakref.ref(net.first)
    del net
    gc.collect()
    assert reference() is None


def test_hooks_can_be_removed_and_are_global_if_asked():
    layer, log = nn.Linear(2, 2), []
    with layer.register_forward_hook(lambda *a: log.append("own")):
        layer(dlgrad.ones(1, 2))
    handle = nn.modules.module.register_module_forward_hook(
        lambda m, a, o: log.append(type(m).__name__)
    )
    layer(dlgrad.ones(1, 2))
    handle.remove()
    layer(dlgrad.ones(1, 2))
    assert log == ["own", "Linear"]
    layer.register_forward_hook(lambda m, a, o: log.append(("failed", o)), always_call=True)
    with pytest.raises(RuntimeError, match="linear"):
        layer(dlgrad.ones(1, 3))
    assert log[-1] == ("failed", None)


def test_containers():
    net = nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.ReLU()))
    assert net.a is net[0] and len(net) == 2 and [type(m).__name__ for m in net[1:]] == ["ReLU"]
    net.append(nn.Tanh()).insert(0, nn.Identity())
    assert list(net._modules) == ["0", "1", "2", "3"]
    del net[1]
    assert list(net._modules) == ["0", "1", "2"] and isinstance(net[-1], nn.Tanh)
    modules = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    modules += [nn.ReLU()]
    text = repr(modules)
    assert (
        "(0-2): 3 x Linear(in_features=2, out_features=2, bias=True)" in text
        and "(3): ReLU()" in text
    )
    with pytest.raises(IndexError):
        modules[4]
    table = nn.ModuleDict({"x": nn.Linear(1, 1)})
    table["y"] = nn.ReLU()
    assert list(table) == ["x", "y"] and "x" in table and isinstance(table.pop("y"), nn.ReLU)
    parameters = nn.ParameterList([dlgrad.ones(2), dlgrad.zeros(1)])
    assert (
        len(parameters) == 2
        and isinstance(parameters[0], nn.Parameter)
        and list(parameters.state_dict()) == ["0", "1"]
    )
    named = nn.ParameterDict({"w": dlgrad.ones(2)})
    named["v"] = nn.Parameter(dlgrad.zeros(1))
    assert list(named.keys()) == ["w", "v"] and list(named.state_dict()) == ["w", "v"]


def test_lazy_modules():
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    assert net(dlgrad.rand(2, 3, 5, 5)).shape == (2, 2)
    assert [type(m).__name__ for m in net] == ["Conv2d", "BatchNorm2d", "Flatten", "Linear"]
    assert net[3].in_features == 36 and type(net[3].weight) is nn.Parameter
    fresh = nn.LazyLinear(2)
    fresh.load_state_dict(nn.Linear(5, 2).state_dict())
    assert fresh.weight.shape == (2, 5)
    with pytest.raises(RuntimeError, match="not known"):
        nn.LazyLinear(2).weight.shape  # noqa: B018


def test_parameters_as_vector_and_clipping():
    net = nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (8,)
    nn.utils.vector_to_parameters(dlgrad.arange(8.0), net.parameters())
    assert net.bias.tolist() == [6, 7]
    for p in net.parameters():
        p.grad = dlgrad.ones(*p.shape) * 2
    norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    assert norm.item() == pytest.approx(math.sqrt(32))
    assert math.sqrt(
        sum((p.grad * p.grad).sum().item() for p in net.parameters())
    ) == pytest.approx(1, abs=1e-5)
    nn.utils.clip_grad_value_(net.parameters(), 0.1)
    assert max(p.grad.max().item() for p in net.parameters()) <= 0.1 + 1e-7
    net.bias.grad = dlgrad.tensor([math.inf, 0.0])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_(net.parameters(), 1.0, error_if_nonfinite=True)


def test_dropout():
    dlgrad.manual_seed(0)
    x = dlgrad.ones(100, 20, 3)
    y = F.dropout(x, 0.25)
    values = set(np.round(array(y).astype(float), 4).ravel().tolist())
    assert values == {0.0, 1.3333} and 0.7 < (y > 0).float().mean().item() < 0.8
    assert F.dropout(x, 0.25, training=False) is x
    assert (F.dropout(x, 1.0) == 0).all()
    channels = F.dropout1d(x, 0.5)
    assert ((channels == 0).all(2) | (channels == 2).all(2)).all()
    x.requires_grad_()
    y = F.dropout(x, 0.5)
    y.sum().backward()
    assert (x.grad == y.detach()).all()
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.dropout(x, 1.5)


def test_gumbel_softmax():
    dlgrad.manual_seed(0)
    x = dlgrad.zeros(50, 4, requires_grad=True)
    y = F.gumbel_softmax(x, hard=True)
    assert ((y.detach() * y.detach()).sum(1) - 1).abs().max().item() < 1e-5
    (y * dlgrad.arange(4.0)).sum().backward()
    assert x.grad.abs().sum().item() > 0


ERRORS = [  # (call, exception, a part of the message)
    (lambda: nn.Linear(3, 2)(dlgrad.ones(4)), RuntimeError, "in_features = 3"),
    (lambda: nn.Conv2d(3, 2, 3)(dlgrad.ones(1, 2, 5, 5)), RuntimeError, "3 channels, but got 2 channels"),
    (lambda: nn.Conv2d(1, 1, 5)(dlgrad.ones(1, 1, 3, 3)), RuntimeError, "Kernel size can't be greater"),
    (lambda: F.conv2d(dlgrad.ones(1, 1, 3, 3), dlgrad.ones(1, 1, 2, 2), stride=0), RuntimeError, "stride"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "divisible by groups"),
    (lambda: F.max_pool2d(dlgrad.ones(1, 1, 4, 4), 2, padding=2), RuntimeError, "half of effective kernel size"),
    (lambda: F.max_pool2d(dlgrad.ones(1, 1, 2, 2), 5), RuntimeError, "too small"),
    (lambda: nn.BatchNorm1d(3)(dlgrad.ones(1, 3)), ValueError, "more than 1 value per channel"),
    (lambda: nn.BatchNorm2d(3)(dlgrad.ones(2, 3)), ValueError, "expected 4D input"),
    (lambda: nn.LayerNorm(4)(dlgrad.ones(2, 3)), RuntimeError, "normalized_shape"),
    (lambda: nn.GroupNorm(2, 3), ValueError, "divisible"),
    (lambda: nn.LSTM(3, 2)(dlgrad.ones(4, 1, 2)), RuntimeError, "Expected 3, got 2"),
    (lambda: nn.LSTM(3, 2)(dlgrad.ones(4, 1, 3), (dlgrad.ones(1, 1, 5), dlgrad.ones(1, 1, 5))), RuntimeError, "hidden"),
    (lambda: nn.MultiheadAttention(5, 2), AssertionError, "divisible by num_heads"),
    (lambda: F.interpolate(dlgrad.ones(1, 1, 2, 2)), ValueError, "size or scale_factor"),
    (lambda: F.pixel_shuffle(dlgrad.ones(1, 3, 2, 2), 2), RuntimeError, "divisible by the square"),
    (lambda: F.mse_loss(dlgrad.ones(2), dlgrad.ones(2), reduction="maen"), ValueError, "maen"),
    (lambda: F.binary_cross_entropy(dlgrad.ones(2) * 2, dlgrad.ones(2)), RuntimeError, "between 0 and 1"),
    (lambda: F.cross_entropy(dlgrad.ones(2, 3), dlgrad.tensor([0, 1, 2])), ValueError, "batch_size"),
    (lambda: F.one_hot(dlgrad.tensor([5]), 3), RuntimeError, "smaller than num_classes"),
    (lambda: F.pad(dlgrad.ones(1, 1, 3), (3, 3), mode="reflect"), RuntimeError, "Padding size should be less"),
    (lambda: F.pad(dlgrad.ones(3), (1,)), RuntimeError, "divisible by 2"),
    (lambda: F.relu6(3), TypeError, "expected a Tensor"),
    (lambda: F.embedding(dlgrad.ones(2), dlgrad.ones(3, 2)), RuntimeError, "int64"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_error_messages(number):
    call, kind, text = ERRORS[number]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)


def test_pytorchs_file_names():
    import dlgrad.nn.modules.batchnorm
    from dlgrad.nn.modules.utils import _pair

    assert dlgrad.nn.modules.batchnorm.BatchNorm2d is nn.BatchNorm2d and _pair(3) == (3, 3)
    assert dlgrad.nn.modules.activation.MultiheadAttention is nn.MultiheadAttention


def test_importing_nn_loads_no_layer():
    code = "import sys, dlgrad, dlgrad.nn; print([m for m in sys.modules if m.startswith('dlgrad.nn.')], 'numpy' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == "[] False"
