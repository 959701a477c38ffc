# SPDX-License-Identifier: Apache-2.0
"""SwinIR-light x2 in PyTorch, the work of swinir-light-x2-64 and -128: python3 bench/peers/pytorch_swinir.py [THREADS]"""
import sys
import time

import torch
from torch import nn

FEATURES, HEADS, WINDOW, GROUPS, BLOCKS, HIDDEN, SCALE = 60, 6, 8, 4, 6, 120, 2


def windows(x):
    height, width = x.shape[1:3]
    x = x.view(-1, height // WINDOW, WINDOW, width // WINDOW, WINDOW, FEATURES)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, WINDOW * WINDOW, FEATURES)


def joined(x, height, width):
    x = x.view(-1, height // WINDOW, width // WINDOW, WINDOW, WINDOW, FEATURES)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, FEATURES)


def shift_mask(size, shift):
    region = torch.zeros(1, size, size, FEATURES)
    parts = (slice(0, -WINDOW), slice(-WINDOW, -shift), slice(-shift, None))
    for i, rows in enumerate(parts):
        for j, columns in enumerate(parts):
            region[:, rows, columns] = 3 * i + j
    region = windows(region)[:, :, 0]
    return (region[:, None] != region[:, :, None]).float() * -100


class Block(nn.Module):
    def __init__(self, shift, size):
        super().__init__()
        self.shift = shift
        self.norm1, self.norm2 = nn.LayerNorm(FEATURES), nn.LayerNorm(FEATURES)
        self.qkv, self.proj = nn.Linear(FEATURES, 3 * FEATURES), nn.Linear(FEATURES, FEATURES)
        self.mlp = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, FEATURES))
        pixels = WINDOW * WINDOW
        # The table is looked up once: the peer gets the time of a deployed network.
        self.bias = nn.Parameter(torch.randn(1, HEADS, pixels, pixels) * 0.02)
        if shift:
            self.register_buffer("mask", shift_mask(size, shift)[:, None])

    def attention(self, x):
        count, pixels, _ = x.shape
        q, k, v = self.qkv(x).view(count, pixels, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        scores = (q * (FEATURES // HEADS) ** -0.5) @ k.transpose(-2, -1) + self.bias
        if self.shift:
            scores = scores + self.mask
        y = scores.softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(count, pixels, FEATURES))

    def forward(self, x):
        y = self.norm1(x)
        if self.shift:
            y = y.roll((-self.shift, -self.shift), (1, 2))
        y = joined(self.attention(windows(y)), *x.shape[1:3])
        if self.shift:
            y = y.roll((self.shift, self.shift), (1, 2))
        x = x + y
        return x + self.mlp(self.norm2(x))


class SwinIr(nn.Module):
    def __init__(self, size):
        super().__init__()
        conv = lambda inputs, outputs: nn.Conv2d(inputs, outputs, 3, padding=1)
        self.first, self.last = conv(3, FEATURES), conv(FEATURES, 3 * SCALE * SCALE)
        self.embedding_norm, self.norm = nn.LayerNorm(FEATURES), nn.LayerNorm(FEATURES)
        self.groups = nn.ModuleList(
            nn.Sequential(*[Block(WINDOW // 2 * (i % 2), size) for i in range(BLOCKS)]) for _ in range(GROUPS))
        self.convs = nn.ModuleList(conv(FEATURES, FEATURES) for _ in range(GROUPS))
        self.end = conv(FEATURES, FEATURES)

    def forward(self, image):
        features = self.first(image / 255 - 0.43)
        y = self.embedding_norm(features.permute(0, 2, 3, 1))
        for group, closing in zip(self.groups, self.convs):
            y = y + closing(group(y).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        y = features + self.end(self.norm(y).permute(0, 3, 1, 2))
        return (nn.functional.pixel_shuffle(self.last(y), SCALE) + 0.43) * 255


def median_ms(action, rounds=9):
    action()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(1e3 * (time.perf_counter() - start))
    return sorted(times)[rounds // 2]


torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
torch.manual_seed(1)
for size in (64, 128):
    network = SwinIr(size).eval()
    image = torch.rand(1, 3, size, size) * 255
    with torch.inference_mode():
        print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads: "
              f"swinir-light-x2-{size} {median_ms(lambda: network(image)):.0f} ms")
