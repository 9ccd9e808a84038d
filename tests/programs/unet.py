"""A U-Net: skip connections by cat, interpolation, dice loss, GroupNorm, mixed losses, OneCycleLR."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def block(cin, cout):
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, padding=1),
        nn.GroupNorm(2, cout),
        nn.SiLU(),
        nn.Conv2d(cout, cout, 3, padding="same"),
        nn.ELU(),
    )


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.middle = block(1, 4), block(4, 8), block(8, 8)
        self.up2, self.up1 = block(16, 4), block(8, 4)
        self.head = nn.Conv2d(4, 2, 1)
        self.transpose = nn.ConvTranspose2d(8, 8, 2, stride=2)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        m = self.transpose(self.middle(F.avg_pool2d(b, 2)))
        m = F.pad(m, [0, b.size(3) - m.size(3), 0, b.size(2) - m.size(2)])
        u = self.up2(torch.cat([b, m], dim=1))
        u = F.interpolate(u, size=a.shape[2:], mode="bilinear", align_corners=False)
        return self.head(self.up1(torch.cat([a, u], dim=1)))


def dice(logits, target, eps=1e-6):
    probs = F.softmax(logits, dim=1)
    onehot = F.one_hot(target, 2).permute(0, 3, 1, 2).float()
    overlap = (probs * onehot).sum(dim=(0, 2, 3))
    return 1 - ((2 * overlap + eps) / ((probs + onehot).sum(dim=(0, 2, 3)) + eps)).mean()


def main():
    torch.manual_seed(11)
    model = UNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, amsgrad=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=8)
    results = []
    for step in range(6):
        x = torch.randn(2, 1, 18, 14)
        y = (F.avg_pool2d(x, 3, 1, 1) > 0).squeeze(1).long()
        logits = model(x)
        loss = F.cross_entropy(logits, y, weight=torch.tensor([0.4, 0.6])) + dice(logits, y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(model.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        iou = ((logits.argmax(1) == y) & (y == 1)).sum() / (y == 1).sum()
        results += [loss.item(), iou.item(), scheduler.get_last_lr()[0]]
    return results
