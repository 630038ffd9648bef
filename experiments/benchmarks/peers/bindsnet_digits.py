"""BindsNET's side of spiking_digits, run by the Python of BindsNET's environment."""

import importlib.metadata
import json
import sys
import time

import numpy as np
import torch

torch.set_num_threads(1)
from bindsnet.models import DiehlAndCook2015  # noqa: E402
from bindsnet.network.monitors import Monitor  # noqa: E402

given, size = sys.argv[1], int(sys.argv[2])
spikes = np.load(given)["spikes"]
images, steps, _ = spikes.shape
network = DiehlAndCook2015(
    n_inpt=784,
    n_neurons=size,
    exc=22.5,
    inh=120.0,
    dt=1.0,
    norm=78.4,
    theta_plus=0.05,
    inpt_shape=(1, 28, 28),
)
monitor = Monitor(network.layers["Ae"], ["s"], time=steps)
network.add_monitor(monitor, "spikes")


def show(k):
    """One image, with learning; spikes of excitatory neurons."""
    network.run(
        inputs={"X": torch.tensor(spikes[k % images]).reshape(steps, 1, 1, 28, 28)}, time=steps
    )
    fired = int(monitor.get("s").sum())
    network.reset_state_variables()
    return fired


came_out = f"{np.mean([show(k) for k in range(images)]):.1f} spikes"
version = importlib.metadata.version("bindsnet")
print(json.dumps({"version": version, "came_out": came_out}), flush=True)
for line in sys.stdin:
    began = time.process_time()
    for k in range(int(line)):
        show(k)
    print(json.dumps(time.process_time() - began), flush=True)
