"""Some programs again for libraries of other names: NumPy, JAX (jit) and tinygrad (TinyJit).

`OTHERS[library, name]` is a function without arguments that returns the function to time.
"""

from . import OTHERS

M = 1_000_000
SIZES = {"10 K": 10_000, "1 M": M, "16 M": 16 * M}


def arrays(name, shapes, expression):
    """A program over random arrays, as `expression(library, *arrays)`, for each of the three."""

    def numpy():
        import numpy

        inputs = [numpy.random.rand(*shape).astype("float32") for shape in shapes]
        return lambda: expression(numpy, *inputs)

    def jax():
        import jax
        import numpy

        function = jax.jit(lambda *inputs: expression(jax.numpy, *inputs))
        inputs = [jax.numpy.asarray(numpy.random.rand(*s).astype("float32")) for s in shapes]
        return lambda: function(*inputs).block_until_ready()

    def tinygrad():
        from tinygrad import Device, Tensor, TinyJit

        inputs = [Tensor.rand(*shape).contiguous().realize() for shape in shapes]
        function = TinyJit(lambda *inputs: expression(Tensor, *inputs).realize())

        def run():
            function(*inputs)
            Device[Device.DEFAULT].synchronize()

        for _ in range(3):  # TinyJit records in its second run
            run()
        return run

    for library in (numpy, jax, tinygrad):
        OTHERS[library.__name__, name] = library


for _label, _n in SIZES.items():
    arrays(f"add {_label}", [(_n,), (_n,)], lambda np, a, b: a + b)
    arrays(f"mul {_label}", [(_n,), (_n,)], lambda np, a, b: a * b)
    arrays(f"exp {_label}", [(_n,)], lambda np, x: np.exp(x))
    arrays(f"log {_label}", [(_n,)], lambda np, x: np.log(x))
    arrays(f"tanh {_label}", [(_n,)], lambda np, x: np.tanh(x))
    arrays(f"sum {_label}", [(_n,)], lambda np, x: x.sum())
arrays("add 10", [(10,), (10,)], lambda np, a, b: a + b)
for _n in (32, 64, 128, 256, 512, 1000, 1024, 2048):
    arrays(f"matmul {_n}", [(_n, _n), (_n, _n)], lambda np, a, b: a @ b)
del OTHERS["tinygrad", "matmul 2048"]  # some 15 s a call
arrays("matmul 128x784 @ 784x64", [(128, 784), (784, 64)], lambda np, a, b: a @ b)
arrays("matmul 128x768 @ 768x2304", [(128, 768), (768, 2304)], lambda np, a, b: a @ b)
arrays("matrix-vector 1000", [(1000, 1000), (1000,)], lambda np, a, b: a @ b)
arrays("bmm 64x32x32", [(64, 32, 32), (64, 32, 32)], lambda np, a, b: a @ b)
arrays("sum 1000x1000, rows", [(1000, 1000)], lambda np, x: x.sum(1))
arrays("sum 1000x1000, columns", [(1000, 1000)], lambda np, x: x.sum(0))


def mlp_steps(name, widths, rows, rule, activation="relu"):
    """A training step of an MLP in JAX and in tinygrad; `rule` is sgd, adam or adamw."""

    def jax():
        import jax
        import numpy

        jnp = jax.numpy
        random = numpy.random.default_rng(0)
        parameters = [
            (random.uniform(-1, 1, shape) / widths[i] ** 0.5).astype("float32")
            for i in range(len(widths) - 1)
            for shape in ((widths[i], widths[i + 1]), (widths[i + 1],))
        ]
        x = random.random((rows, widths[0])).astype("float32")
        if widths[-1] == 1:
            y = random.random((rows, 1)).astype("float32")
        else:
            y = random.integers(0, widths[-1], rows)
        act = jnp.tanh if activation == "tanh" else jax.nn.relu

        def loss(parameters, x, y):
            for i in range(0, len(parameters), 2):
                x = x @ parameters[i] + parameters[i + 1]
                x = act(x) if i + 2 < len(parameters) else x
            if widths[-1] == 1:
                return ((x - y) ** 2).mean()
            return -jax.nn.log_softmax(x)[jnp.arange(rows), y].mean()

        def step(state, x, y):
            parameters, first, second, count = state
            value, gradients = jax.value_and_grad(loss)(parameters, x, y)
            if rule == "sgd":
                parameters = [p - 0.05 * g for p, g in zip(parameters, gradients)]
                return (parameters, first, second, count), value
            count = count + 1
            first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients)]
            second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradients)]
            rate, correct = 1e-3 / (1 - 0.9**count), 1 - 0.999**count
            decay = 1 - 1e-3 * 0.01 * (rule == "adamw")
            parameters = [
                decay * p - rate * m / (jnp.sqrt(v / correct) + 1e-8)
                for p, m, v in zip(parameters, first, second)
            ]
            return (parameters, first, second, count), value

        compiled = jax.jit(step, donate_argnums=0)
        zeros = [jnp.zeros_like(p) for p in parameters]
        state = [jnp.asarray(p) for p in parameters], zeros, [z + 0 for z in zeros], jnp.float32(0)
        x, y = jnp.asarray(x), jnp.asarray(y)

        def run():
            nonlocal state
            state, value = compiled(state, x, y)
            value.block_until_ready()
            state[0][0].block_until_ready()

        return run

    def tinygrad():
        from tinygrad import Context, Device, Tensor, TinyJit
        from tinygrad.nn import Linear
        from tinygrad.nn.optim import SGD, Adam, AdamW
        from tinygrad.nn.state import get_parameters

        layers = [Linear(a, b) for a, b in zip(widths, widths[1:])]
        parameters = get_parameters(layers)
        optimizer = {"sgd": SGD, "adam": Adam, "adamw": AdamW}[rule](parameters, lr=1e-3)
        x = Tensor.rand(rows, widths[0]).realize()
        if widths[-1] == 1:
            y = Tensor.rand(rows, 1).realize()
        else:
            y = Tensor.randint(rows, high=widths[-1]).realize()

        def step():
            optimizer.zero_grad()
            h = x
            for layer in layers[:-1]:
                h = layer(h).tanh() if activation == "tanh" else layer(h).relu()
            h = layers[-1](h)
            loss = (
                ((h - y) ** 2).mean() if widths[-1] == 1 else h.sparse_categorical_crossentropy(y)
            )
            loss.backward()
            return loss.realize(*optimizer.schedule_step())

        compiled = TinyJit(step)

        def run():
            with Context(TRAINING=1):
                compiled()
            Device[Device.DEFAULT].synchronize()

        for _ in range(3):
            run()
        return run

    for library in (jax, tinygrad):
        OTHERS[library.__name__, name] = library


mlp_steps("tiny MLP 2-16-16-1, batch 32, SGD", (2, 16, 16, 1), 32, "sgd", "tanh")
mlp_steps("MLP 784-64-10, batch 128, Adam", (784, 64, 10), 128, "adam")
mlp_steps("MLP 784-1024-1024-10, batch 256, AdamW", (784, 1024, 1024, 10), 256, "adamw")
