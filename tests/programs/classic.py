"""Small programs of the tutorials: linear and logistic regression, micro MLP by hand (makemore), graph convolution, style loss, text CNN, attention."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


def regression():
    x_train = np.array([[3.3], [4.4], [5.5], [6.71], [6.93]], dtype=np.float32)
    y_train = np.array([[1.7], [2.76], [2.09], [3.19], [1.694]], dtype=np.float32)
    model, criterion = nn.Linear(1, 1), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    for epoch in range(5):
        loss = criterion(model(torch.from_numpy(x_train)), torch.from_numpy(y_train))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()
    yield float(model(torch.from_numpy(x_train)).detach().numpy().sum())


def makemore():
    g = torch.Generator().manual_seed(2147483647)
    C = torch.randn((27, 10), generator=g)
    W1 = torch.randn((30, 20), generator=g) * (5 / 3) / (30**0.5)
    W2 = torch.randn((20, 27), generator=g) * 0.01
    bngain, bnbias = torch.ones((1, 20)), torch.zeros((1, 20))
    parameters = [C, W1, W2, bngain, bnbias]
    for p in parameters:
        p.requires_grad = True
    X, Y = torch.randint(0, 27, (64, 3), generator=g), torch.randint(0, 27, (64,), generator=g)
    for i in range(5):
        ix = torch.randint(0, X.shape[0], (32,), generator=g)
        emb = C[X[ix]]
        hpreact = emb.view(emb.shape[0], -1) @ W1
        hpreact = (
            bngain * (hpreact - hpreact.mean(0, keepdim=True)) / hpreact.std(0, keepdim=True)
            + bnbias
        )
        loss = F.cross_entropy(torch.tanh(hpreact) @ W2, Y[ix])
        for p in parameters:
            p.grad = None
        loss.backward()
        for p in parameters:
            p.data += -0.1 * p.grad
        yield loss.item()
    N = torch.zeros((27, 27), dtype=torch.int32)
    for a, b in zip(Y.tolist(), Y[1:].tolist()):
        N[a, b] += 1
    P = (N + 1).float()
    P /= P.sum(1, keepdims=True)
    yield from torch.multinomial(P[3], num_samples=5, replacement=True, generator=g).tolist()


def graph_convolution():
    adj = (torch.rand(10, 10) > 0.6).float()
    adj = ((adj + adj.T) > 0).float() + torch.eye(10)
    d = adj.sum(1).pow(-0.5).diag()
    adj = d @ adj @ d
    w1, w2 = nn.Parameter(torch.empty(5, 8)), nn.Parameter(torch.empty(8, 3))
    for w in (w1, w2):
        nn.init.xavier_uniform_(w.data, gain=1.414)
    optimizer = torch.optim.Adam([w1, w2], lr=0.01, weight_decay=5e-4)
    x, y = torch.randn(10, 5), torch.randint(0, 3, (10,))
    idx = torch.LongTensor(range(6))
    for _ in range(4):
        h = F.elu(torch.mm(adj, x @ w1))
        scores = F.leaky_relu(h.sum(1)[:, None] + h.sum(1)[None, :], 0.2)
        attention = F.softmax(torch.where(adj > 0, scores, torch.full_like(scores, -9e15)), dim=1)
        out = F.log_softmax(attention @ (h @ w2), dim=1)
        loss = F.nll_loss(out[idx], y[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        preds = out.max(1)[1].type_as(y)
        yield from (loss.item(), preds.eq(y).double().sum().item())


def style_transfer():
    conv = nn.Sequential(
        nn.ReflectionPad2d(1), nn.Conv2d(3, 6, 3), nn.InstanceNorm2d(6, affine=True), nn.ReLU()
    )
    for p in conv.parameters():
        p.requires_grad_(False)
    content, style = torch.rand(1, 3, 12, 12), torch.rand(1, 3, 12, 12)
    image = content.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([image], lr=0.05)

    def gram(f):
        b, c, h, w = f.shape
        f = f.view(b, c, h * w)
        return f.bmm(f.transpose(1, 2)) / (c * h * w)

    for _ in range(4):
        a, b = conv(image), conv(style)
        tv = (image[..., 1:] - image[..., :-1]).abs().mean()
        loss = F.mse_loss(a, conv(content)) + 100 * F.mse_loss(gram(a), gram(b)) + 0.1 * tv
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
        yield loss.item()


class TextCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.W = nn.Embedding(15, 6)
        self.filters = nn.ModuleList([nn.Conv2d(1, 3, (k, 6)) for k in (2, 3)])
        self.out = nn.Linear(6, 2, bias=False)
        self.bias = nn.Parameter(torch.ones([2]))

    def forward(self, X):
        e = self.W(X).unsqueeze(1)
        pooled = [
            nn.MaxPool2d((7 - k + 1, 1))(F.relu(c(e))).permute(0, 3, 2, 1)
            for k, c in zip((2, 3), self.filters)
        ]
        return self.out(torch.cat(pooled, 3).reshape(-1, 6)) + self.bias


def text_cnn():
    model = TextCNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x, y = torch.LongTensor(np.arange(28).reshape(4, 7) % 15), torch.LongTensor([1, 0, 1, 1])
    for _ in range(4):
        optimizer.zero_grad()
        output = model(x)
        loss = nn.CrossEntropyLoss()(output, y)
        loss.backward()
        optimizer.step()
        yield loss.item()
    predict = output.data.max(1, keepdim=True)[1]
    yield from predict.squeeze().tolist()


def forward_forward():
    layer = nn.Linear(8, 6)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
    for _ in range(3):
        pos, neg = torch.randn(5, 8), torch.randn(5, 8)
        def act(x):
            return torch.relu(
                    torch.mm(x / (x.norm(2, 1, keepdim=True) + 1e-4), layer.weight.T)
                    + layer.bias.unsqueeze(0)
                )
        g_pos, g_neg = act(pos).pow(2).mean(1), act(neg).pow(2).mean(1)
        loss = torch.log(1 + torch.exp(torch.cat([-g_pos + 2.0, g_neg - 2.0]))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def main():
    torch.manual_seed(2)
    return [
        *regression(),
        *makemore(),
        *graph_convolution(),
        *style_transfer(),
        *text_cnn(),
        *forward_forward(),
    ]
