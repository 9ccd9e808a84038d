"""Latencies of one answer, gradients off."""

from . import models, program

GROUP = "inference"


def latency(name, make, flops=0):
    """`make(torch)` gives the function that answers."""

    @program(name, GROUP, flops=flops)
    def setup(torch):
        answer = make(torch)

        def run():
            with torch.no_grad():
                return answer()

        return run


def model_of(make, *shape):
    def setup(torch):
        model, x = make(torch).eval(), torch.randn(*shape)
        return lambda: model(x)

    return setup


latency("MLP 784-64-10, 1 image", model_of(lambda t: models.mlp(t.nn, 784, 64, 10), 1, 784))
latency("LeNet, 1 image", model_of(lambda t: models.lenet(t.nn), 1, 1, 28, 28))
latency("ResNet-18 32x32, 1 image", model_of(models.resnet18, 1, 3, 32, 32), 2 * 555.4e6)
latency("LeNet, 256 images", model_of(lambda t: models.lenet(t.nn), 256, 1, 28, 28))


def next_token(vocabulary, context, width, heads, layers):
    """One token more after a cache of 100, the cache left as it was."""

    def setup(torch):
        model = models.gpt(torch, vocabulary, context, width, heads, layers).eval()
        size = (1, heads, 100, width // heads)
        past = [[torch.randn(*size), torch.randn(*size)] for _ in range(layers)]
        ids = torch.randint(0, vocabulary, (1, 1))
        return lambda: model(ids, [list(pair) for pair in past])

    return setup


latency("GPT 6x128, next token after 100", next_token(65, 128, 128, 4, 6))
latency("GPT-2 124M, next token after 100", next_token(50257, 1024, 768, 12, 12))


def lstm_step(torch):
    model = models.lstm_language_model(torch).eval()
    ids, state = torch.randint(0, 1000, (1, 1)), (torch.zeros(1, 1, 256), torch.zeros(1, 1, 256))
    return lambda: model(ids, state)


latency("LSTM language model, next token", lstm_step)
