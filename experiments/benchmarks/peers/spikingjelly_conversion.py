"""SpikingJelly's side of converted_network, run by the Python of SpikingJelly's environment."""

import importlib.metadata
import json
import sys
import time

import numpy as np
import torch
from spikingjelly.activation_based import ann2snn, functional
from torch import nn

given, held, steps = sys.argv[1:]
work, steps = dict(np.load(given)), int(steps)
tensor = lambda name: torch.from_numpy(work[name])

layers = (
    nn.Conv2d(1, 12, 3, 1, 1),
    nn.ReLU(),
    nn.Conv2d(12, 24, 3, 2, 1),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(24 * 4 * 4, 10),
)
network = nn.Sequential(*layers)
with torch.no_grad():
    for i in (0, 2, 5):
        layers[i].weight.copy_(tensor(f"W{i}"))
        layers[i].bias.copy_(tensor(f"b{i}").reshape(-1))

recipe = ann2snn.RateCodingRecipe(dataloader=[tensor("known")], mode="99.9%")
spiking = ann2snn.FXConverter(recipe=recipe).convert(network).eval()
x = tensor("x")


@torch.no_grad()
def simulate():
    """Mean read-out of the batch after each step."""
    functional.reset_net(spiking)
    total, outputs = 0.0, []
    for t in range(1, steps + 1):
        total = total + spiking(x)
        outputs.append(total / t)
    return torch.stack(outputs)


np.savez(held, outputs=simulate().numpy())
print(json.dumps({"version": importlib.metadata.version("spikingjelly")}), flush=True)
for line in sys.stdin:
    began = time.process_time()
    for _ in range(int(line)):
        simulate()
    print(json.dumps(time.process_time() - began), flush=True)
