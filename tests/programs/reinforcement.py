"""Policy gradient, actor-critic (PPO), DQN with a target network, and SAC's squashed Gaussian, on a toy environment."""

import random

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Categorical
from torch.distributions.normal import Normal


class Walk:
    """A walk on the line; the reward is for being near 0."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def reset(self):
        self.x = self.rng.uniform(-2, 2)
        return torch.tensor([self.x, abs(self.x)], dtype=torch.float32)

    def step(self, action):
        self.x += 0.5 * (2 * action - 1)
        return (
            torch.tensor([self.x, abs(self.x)], dtype=torch.float32),
            -abs(self.x),
            abs(self.x) > 3,
        )


def reinforce():
    policy = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2), nn.Softmax(dim=-1))
    optimizer = optim.Adam(policy.parameters(), lr=1e-2)
    env = Walk(0)
    for episode in range(3):
        state, log_probs, rewards = env.reset(), [], []
        for t in range(10):
            m = Categorical(policy(state.unsqueeze(0)))
            action = m.sample()
            log_probs.append(m.log_prob(action))
            state, reward, done = env.step(action.item())
            rewards.append(reward)
            if done:
                break
        returns, R = [], 0
        for r in rewards[::-1]:
            R = r + 0.99 * R
            returns.insert(0, R)
        returns = torch.tensor(returns)
        returns = (returns - returns.mean()) / (returns.std() + 1e-6)
        loss = torch.cat([-lp * R for lp, R in zip(log_probs, returns)]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def layer_init(layer, std=2**0.5, bias_const=0.0):
    torch.nn.init.orthogonal_(layer.weight, std)
    torch.nn.init.constant_(layer.bias, bias_const)
    return layer


def ppo():
    actor = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = optim.Adam([*actor.parameters(), *critic.parameters()], lr=2.5e-3, eps=1e-5)
    obs = torch.randn(16, 2)
    with torch.no_grad():
        probs = Categorical(logits=actor(obs))
        actions = probs.sample()
        old, values = probs.log_prob(actions), critic(obs).flatten()
    rewards, dones = -obs[:, 0].abs(), torch.zeros(16)
    advantages, last = torch.zeros_like(rewards), 0
    for t in reversed(range(15)):
        delta = rewards[t] + 0.99 * values[t + 1] * (1 - dones[t + 1]) - values[t]
        advantages[t] = last = delta + 0.99 * 0.95 * (1 - dones[t + 1]) * last
    returns = advantages + values
    for epoch in range(3):
        for inds in torch.randperm(16).split(8):
            dist = Categorical(logits=actor(obs[inds]))
            ratio = (dist.log_prob(actions.long()[inds]) - old[inds]).exp()
            adv = advantages[inds]
            adv = (adv - adv.mean()) / (adv.std() + 1e-8)
            pg_loss = torch.max(-adv * ratio, -adv * torch.clamp(ratio, 0.8, 1.2)).mean()
            v_loss = 0.5 * ((critic(obs[inds]).view(-1) - returns[inds]) ** 2).mean()
            loss = pg_loss - 0.01 * dist.entropy().mean() + v_loss * 0.5
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 0.5)
            optimizer.step()
            yield loss.item()


def dqn():
    def network():
        return nn.Sequential(nn.Linear(2, 12), nn.ReLU(), nn.Linear(12, 2))

    q, target = network(), network()
    target.load_state_dict(q.state_dict())
    optimizer = optim.AdamW(q.parameters(), lr=1e-3, amsgrad=True)
    env, rng = Walk(1), random.Random(2)
    memory, state = [], env.reset()
    for step in range(40):
        if rng.random() < 0.3:
            action = rng.randrange(2)
        else:
            with torch.no_grad():
                action = q(state.unsqueeze(0)).max(1).indices.view(1, 1).item()
        after, reward, done = env.step(action)
        memory.append((state, action, reward, after, done))
        state = env.reset() if done else after
        if len(memory) < 16:
            continue
        s, a, r, n, d = zip(*rng.sample(memory, 8))
        d = torch.tensor(d, dtype=torch.bool)
        chosen = q(torch.stack(s)).gather(1, torch.tensor(a).unsqueeze(1))
        value = torch.zeros(8)
        with torch.no_grad():
            value[~d] = target(torch.stack(n)[~d]).max(1).values
        loss = F.smooth_l1_loss(chosen, (torch.tensor(r) + 0.9 * value).unsqueeze(1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(q.parameters(), 100)
        optimizer.step()
        for t, p in zip(target.parameters(), q.parameters()):
            t.data.copy_(0.005 * p.data + (1.0 - 0.005) * t.data)
        yield loss.item()


def sac():
    net = nn.Linear(3, 4)
    log_alpha = torch.zeros(1, requires_grad=True)
    optimizer = optim.Adam(net.parameters(), lr=1e-2)
    alpha_optimizer = optim.Adam([log_alpha], lr=1e-2)
    for _ in range(4):
        mean, log_std = net(torch.randn(5, 3)).chunk(2, -1)
        std = (-5 + 0.5 * 7 * (torch.tanh(log_std) + 1)).exp()
        normal = Normal(mean, std)
        x_t = normal.rsample()
        y_t = torch.tanh(x_t)
        log_prob = (normal.log_prob(x_t) - torch.log(1 - y_t.pow(2) + 1e-6)).sum(1, keepdim=True)
        loss = (log_alpha.exp().item() * log_prob + (y_t - 0.3).pow(2).sum(1, keepdim=True)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        alpha_loss = (-log_alpha.exp() * (log_prob.detach() - 2.0)).mean()
        alpha_optimizer.zero_grad()
        alpha_loss.backward()
        alpha_optimizer.step()
        yield from (loss.item(), alpha_loss.item(), log_alpha.item())


def main():
    torch.manual_seed(4)
    torch.backends.cudnn.deterministic = True
    return [*reinforce(), *ppo(), *dqn(), *sac()]
