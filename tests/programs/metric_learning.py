"""Siamese, triplet and contrastive losses; matrix factorisation; word2vec with EmbeddingBag and negative sampling; a mixture density network."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def siamese():
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(36, 16), nn.PReLU(), nn.BatchNorm1d(16), nn.Linear(16, 4)
    )
    optimizer = torch.optim.Adagrad(net.parameters(), lr=0.05)
    triplet, cosine = nn.TripletMarginLoss(margin=1.0, p=2), nn.CosineEmbeddingLoss(margin=0.2)
    x = torch.randn(3, 10, 6, 6)
    label = torch.where(torch.arange(10) % 2 == 0, 1.0, -1.0)
    for _ in range(5):
        a, p, n = (net(v) for v in x)
        sim = F.normalize(a, dim=1) @ F.normalize(p, dim=1).t() / 0.1
        loss = triplet(a, p, n) + cosine(a, p, label) + F.cross_entropy(sim, torch.arange(10))
        loss = loss + F.margin_ranking_loss(
            F.pairwise_distance(a, n), F.pairwise_distance(a, p), torch.ones(10), margin=0.5
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()
    yield torch.cdist(a, p).mean().item()


class MatrixFactorization(nn.Module):
    def __init__(self, users, items, k=5):
        super().__init__()
        self.u, self.i = nn.Embedding(users, k, sparse=False), nn.Embedding(items, k, max_norm=2.0)
        self.bu, self.bi = nn.Embedding(users, 1), nn.Embedding(items, 1)

    def forward(self, u, i):
        return (self.u(u) * self.i(i)).sum(1) + self.bu(u).squeeze() + self.bi(i).squeeze()


def factorization():
    model = MatrixFactorization(12, 9)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    u, i, r = torch.randint(12, (40,)), torch.randint(9, (40,)), torch.rand(40) * 5
    for _ in range(5):
        loss = F.mse_loss(model(u, i), r) + 1e-3 * sum(p.norm() ** 2 for p in model.parameters())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def word2vec():
    context, output = nn.EmbeddingBag(20, 6, mode="mean"), nn.Embedding(20, 6)
    optimizer = torch.optim.Adadelta([*context.parameters(), *output.parameters()], lr=1.0)
    counts = torch.arange(1, 21).float() ** 0.75
    text = torch.randint(20, (30,))
    offsets = torch.arange(0, 30, 3)
    for _ in range(5):
        negatives = torch.multinomial(counts, 10 * 4, replacement=True).view(10, 4)
        h = context(text, offsets)
        positive = F.logsigmoid((h * output(text[offsets])).sum(1))
        negative = F.logsigmoid(-torch.bmm(output(negatives), h.unsqueeze(2)).squeeze(2)).sum(1)
        loss = -(positive + negative).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def mixture_density():
    net = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 9))
    optimizer = torch.optim.NAdam(net.parameters(), lr=0.02)
    y = torch.rand(64, 1) * 4 - 2
    x = y + 0.3 * torch.sin(3 * y) + 0.1 * torch.randn(64, 1)
    for _ in range(5):
        logit_pi, mu, log_sigma = net(x).chunk(3, dim=1)
        log_prob = (
            -0.5 * ((y - mu) / log_sigma.exp()) ** 2 - log_sigma - 0.5 * math.log(2 * math.pi)
        )
        loss = -torch.logsumexp(F.log_softmax(logit_pi, 1) + log_prob, dim=1).mean()
        mixture = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=logit_pi),
            torch.distributions.Normal(mu, log_sigma.exp()),
        )
        assert torch.allclose(loss, -mixture.log_prob(y.squeeze(1)).mean(), atol=1e-5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()
    yield mixture.sample((3,)).sum().item()


def main():
    torch.manual_seed(21)
    return [*siamese(), *factorization(), *word2vec(), *mixture_density()]
