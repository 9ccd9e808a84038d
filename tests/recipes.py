"""What a seed gives, as functions of the library (dlgrad or torch): numbers for tests/golden/*.json.

parity/record_golden.py writes what PyTorch gives; test_golden.py asks the same of dlgrad, without
PyTorch; parity/test_golden.py checks that the files are what PyTorch gives still.
"""

import warnings

from optimizers import SCHEDULES, VARIANTS, rosenbrock

# Around the vector widths, the 16 numbers that normal_ makes at once, the 624 words of the generator.
SIZES = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 312, 623, 624, 625, 1000, 5003)

DRAWS = {
    "rand": lambda lib, n: lib.rand(n),
    "rand float64": lambda lib, n: lib.rand(n, dtype=lib.float64),
    "rand bfloat16": lambda lib, n: lib.rand(n, dtype=lib.bfloat16),
    "randn": lambda lib, n: lib.randn(n),
    "randn float64": lambda lib, n: lib.randn(n, dtype=lib.float64),
    "randn float16": lambda lib, n: lib.randn(n, dtype=lib.float16),
    "normal": lambda lib, n: lib.empty(n).normal_(1.5, 0.3),
    "normal transposed": lambda lib, n: lib.empty(n, 3).t().normal_().flatten(),
    "uniform": lambda lib, n: lib.empty(n).uniform_(-0.3, 0.7),
    "randint": lambda lib, n: lib.randint(0, 1000, (n,)),
    "randint wide": lambda lib, n: lib.randint(-(2**40), 2**52, (n,)),
    "random uint8": lambda lib, n: lib.empty(n, dtype=lib.uint8).random_(),
    "randperm": lambda lib, n: lib.randperm(n),
    "bernoulli": lambda lib, n: lib.empty(n).bernoulli_(0.3),
    "bernoulli of a tensor": lambda lib, n: lib.bernoulli(lib.linspace(0, 1, n)),
    "exponential": lambda lib, n: lib.empty(n).exponential_(0.5),
    "geometric": lambda lib, n: lib.empty(n).geometric_(0.1),
    "cauchy": lambda lib, n: lib.empty(n).cauchy_(0.0, 1.5),
    "log normal": lambda lib, n: lib.empty(n).log_normal_(0.5, 0.7),
    "poisson": lambda lib, n: lib.poisson(lib.full((n,), 9.9)),
    "multinomial": lambda lib, n: lib.multinomial(lib.arange(1.0, n + 1), n, replacement=True),
}

SEEDS = (0, 1, -1, 2**32, 2**32 + 1, 2**64 - 1, -(2**63))

LAYERS = (
    ("Linear", (6, 4), {}), ("Bilinear", (3, 4, 5), {}), ("Conv1d", (6, 4, 3), {}), ("Conv2d", (6, 4, (3, 2)), {"groups": 2}),
    ("Conv3d", (3, 4, 2), {"bias": False}), ("ConvTranspose1d", (6, 4, 3), {}), ("ConvTranspose2d", (6, 4, 3), {"groups": 2}),
    ("ConvTranspose3d", (6, 4, 2), {}), ("BatchNorm2d", (6,), {}), ("LayerNorm", ((6, 9),), {}), ("GroupNorm", (3, 6), {}),
    ("InstanceNorm1d", (6,), {"affine": True, "track_running_stats": True}), ("RMSNorm", (9,), {}), ("PReLU", (3,), {}),
    ("Embedding", (10, 6), {"padding_idx": 2}), ("EmbeddingBag", (10, 6), {"mode": "mean"}),
    ("RNN", (6, 5), {"num_layers": 2, "nonlinearity": "relu"}), ("LSTM", (6, 5), {"bidirectional": True, "proj_size": 3}),
    ("GRU", (6, 5), {"bias": False}), ("RNNCell", (6, 5), {}), ("LSTMCell", (6, 5), {}), ("GRUCell", (6, 5), {}),
    ("MultiheadAttention", (8, 2), {"add_bias_kv": True, "kdim": 5, "vdim": 3}), ("MultiheadAttention", (8, 2), {"bias": False}),
    ("TransformerEncoderLayer", (8, 2, 16), {}), ("TransformerDecoderLayer", (8, 2, 16), {"norm_first": True}),
    ("Transformer", (8, 2, 1, 1, 16), {}),
)  # fmt: skip

INITS = (
    ("uniform_", (-1.0, 2.0)), ("normal_", (0.5, 2.0)), ("trunc_normal_", ()), ("constant_", (3.0,)), ("eye_", ()), ("sparse_", (0.4,)),
    ("xavier_uniform_", (2.0,)), ("xavier_normal_", ()), ("kaiming_uniform_", (0.3, "fan_out")), ("kaiming_normal_", (0, "fan_in", "relu")),
)  # fmt: skip


def digest(t):
    """The first three numbers of a tensor and its last two."""
    flat = t.detach().flatten().tolist()
    return flat if len(flat) <= 5 else flat[:3] + flat[-2:]


def draws(lib):
    """Of each drawing function and size: some of its numbers, then what rand gives next."""
    found = {}
    for name, draw in DRAWS.items():
        for n in SIZES:
            lib.manual_seed(n)
            found[f"{name} {n}"] = [*digest(draw(lib, n)), lib.rand(1).item()]
    for seed in SEEDS:
        lib.manual_seed(seed)
        found[f"seed {seed}"] = [lib.initial_seed(), *lib.rand(3).tolist()]
    return found


def layers(lib):
    """Of each layer: its text, and shape, sum and some numbers of everything in its state dict."""
    found = {}
    for name, args, kwargs in LAYERS:
        lib.manual_seed(11)
        layer = getattr(lib.nn, name)(*args, **kwargs)
        key = ", ".join([str(a) for a in args] + [f"{k}={v}" for k, v in kwargs.items()])
        found[f"{name}({key})"] = {
            "repr": repr(layer),
            "state": {
                key: [list(t.shape), t.double().sum().item(), digest(t)]
                for key, t in layer.state_dict().items()
            },
            "next": lib.rand(1).item(),
        }
    return found


def inits(lib):
    """Of each function of nn.init: sum and some numbers, then what rand gives next."""
    found = {}
    for name, args in INITS:
        lib.manual_seed(7)
        t = getattr(lib.nn.init, name)(lib.empty(20, 30), *args)
        found[name] = [t.double().sum().item(), *digest(t), lib.rand(1).item()]
    return found


def training(lib):
    """Of each optimizer: five losses of a small network, the shape of the state dict, the text."""
    found = {}
    for name, make in VARIANTS.items():
        lib.manual_seed(0)
        net = lib.nn.Sequential(lib.nn.Linear(6, 16), lib.nn.Tanh(), lib.nn.Linear(16, 3))
        x, labels = lib.randn(20, 6), lib.randint(0, 3, (20,))
        optimizer = make(lib.optim, list(net.parameters()))
        sign = -1.0 if optimizer.param_groups[0]["maximize"] else 1.0
        losses = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = lib.nn.functional.cross_entropy(net(x), labels)
            (loss * sign).backward()
            optimizer.step()
            losses.append(loss.item())
        state = optimizer.state_dict()
        found[name] = {
            "losses": losses,
            "state": {
                key: [str(t.dtype).split(".")[1], list(t.shape)]
                for key, t in state["state"].get(0, {}).items()
            },
            "group": state["param_groups"][0],
            "repr": repr(optimizer),
        }
    return found


def valley(lib):
    """L-BFGS on its way through Rosenbrock's valley: losses, then the end."""
    found = {}
    for search in (None, "strong_wolfe"):
        p = lib.tensor([-1.2, 1.0], dtype=lib.float64).requires_grad_()
        optimizer = lib.optim.LBFGS(
            [p], lr=1.0 if search else 1e-3, max_iter=8, history_size=3, line_search_fn=search
        )

        def closure(optimizer=optimizer, p=p):
            optimizer.zero_grad()
            loss = rosenbrock(p)
            loss.backward()
            return loss

        losses = [optimizer.step(closure).item() for _ in range(4)]
        state = optimizer.state_dict()["state"][0]
        found[str(search)] = [*losses, *p.tolist(), state["func_evals"], state["n_iter"]]
    return found


def rates(lib):
    """Of each schedule: learning rates of two groups, and the first one's momentum, over 19 epochs."""
    found = {}
    for name, make in SCHEDULES.items():
        groups = [{"params": [lib.ones(1).requires_grad_()], "lr": 0.05}]
        groups.append({"params": [lib.ones(2).requires_grad_()]})
        optimizer = lib.optim.SGD(groups, lr=0.2, momentum=0.9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler = make(lib.optim.lr_scheduler, optimizer)
            path = []
            for _ in range(19):
                path.append([group["lr"] for group in optimizer.param_groups])
                path[-1].append(optimizer.param_groups[0]["momentum"])
                optimizer.step()
                scheduler.step()
        found[name] = [list(values) for values in zip(*path)]
    return found


def orders(lib):
    """The random orders of samplers and of DataLoader."""
    data = lib.utils.data
    made = {
        "random": lambda: data.RandomSampler(range(10)),
        "replacement": lambda: data.RandomSampler(range(10), replacement=True, num_samples=70),
        "more than there is": lambda: data.RandomSampler(range(10), num_samples=25),
        "subset": lambda: data.SubsetRandomSampler([4, 5, 6]),
        "batches": lambda: data.BatchSampler(data.RandomSampler(range(10)), 3, False),
        "weighted": lambda: data.WeightedRandomSampler([0.1, 1.0, 3.0], 20),
        "weighted, each once": lambda: data.WeightedRandomSampler([0.1, 1, 3, 2], 4, False),
        "split by parts": lambda: data.random_split(range(11), [0.3, 0.7])[0].indices,
        "split by lengths": lambda: data.random_split(range(10), [3, 7])[1].indices,
        "distributed": lambda: data.distributed.DistributedSampler(range(11), 3, 1, seed=2),
    }
    found = {}
    for name, make in made.items():
        lib.manual_seed(3)
        found[name] = [*make(), lib.rand(1).item()]
    for workers in (0, 2):
        for own in (False, True):
            lib.manual_seed(4)
            options = {"generator": lib.Generator().manual_seed(9)} if own else {}
            loader = data.DataLoader(range(23), 4, shuffle=True, num_workers=workers, **options)
            epochs = [[i for batch in loader for i in batch.tolist()] for _ in range(2)]
            name = f"{workers} workers" + (", a generator of its own" if own else "")
            found[f"loader, {name}"] = [*epochs, lib.rand(1).item()]
    return found


# The file's name, what makes it, and by how much dlgrad's floats may differ (relatively, absolutely).
# Float32 weights and draws are the same to the last bit; sums in float64 and whole trainings are not.
RECIPES = {
    "draws": (draws, 1e-14, 0.0),
    "layers": (layers, 1e-14, 1e-16),
    "inits": (inits, 1e-14, 1e-16),
    "training": (training, 1e-5, 1e-6),
    "valley": (valley, 1e-6, 1e-9),
    "rates": (rates, 0.0, 0.0),
    "orders": (orders, 0.0, 0.0),
}
