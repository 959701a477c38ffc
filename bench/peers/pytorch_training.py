# SPDX-License-Identifier: Apache-2.0
"""The training step of TrainingBenchmark in PyTorch: python3 bench/peers/pytorch_training.py [THREADS]"""
import sys
import time

import torch
from torch import nn

FEATURES, BLOCKS, BATCH, PATCH = 64, 8, 8, 48


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
        self.second = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)

    def forward(self, x):
        return x + self.second(torch.relu(self.first(x)))


class Edsr(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, FEATURES, 3, padding=1)
        self.body = nn.Sequential(*[Block() for _ in range(BLOCKS)], nn.Conv2d(FEATURES, FEATURES, 3, padding=1))
        self.tail = nn.Sequential(
            nn.Conv2d(FEATURES, 4 * FEATURES, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(FEATURES, 3, 3, padding=1))

    def forward(self, x):
        features = self.head(x - 114)
        return self.tail(features + self.body(features)) + 114


def median_ms(action, rounds=15):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(1e3 * (time.perf_counter() - start))
    return sorted(times)[rounds // 2]


torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
torch.manual_seed(1)
network = Edsr()
optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
low = torch.rand(BATCH, 3, PATCH, PATCH) * 255
high = torch.rand(BATCH, 3, 2 * PATCH, 2 * PATCH) * 255


def step():
    optimizer.zero_grad()
    nn.functional.l1_loss(network(low), high).backward()
    optimizer.step()


print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads: "
      f"forward {median_ms(lambda: network(low)):.0f} ms, step {median_ms(step):.0f} ms")
