"""The PyTorch libraries' side of spiking_training: snnTorch, Norse or SpikingJelly."""

import importlib.metadata
import json
import sys
import time

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)
given, LIBRARY, compared = sys.argv[1:]
work = dict(np.load(given))
KEEP, SLOPE, RATE = 0.95, 25.0, 1e-3
x, y = torch.tensor(work["x"]), torch.tensor(work["y"], dtype=torch.long)
STEPS, HIDDEN = x.shape[0], work["w1"].shape[1]


def linear(weight):
    """A layer without bias that holds this weight, shape (inputs, outputs)."""
    layer = nn.Linear(*weight.shape, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight.T))
    return layer


class SnnTorch(nn.Module):
    """Leaky neurons, reset by subtraction, and a read-out that never resets."""

    def __init__(self):
        super().__init__()
        import snntorch
        from snntorch import surrogate

        slope = surrogate.fast_sigmoid(slope=SLOPE)
        self.first, self.second = linear(work["w1"]), linear(work["w2"])
        self.hidden = snntorch.Leaky(beta=KEEP, threshold=1.0, spike_grad=slope)
        self.out = snntorch.Leaky(beta=KEEP, reset_mechanism="none", spike_grad=slope)

    def forward(self, inputs):
        """Read-out membranes over time."""
        v, u, sent = self.hidden.reset_mem(), self.out.reset_mem(), []
        for now in inputs:
            spikes, v = self.hidden(self.first(now), v)
            _, u = self.out(self.second(spikes), u)
            sent.append(u)
        return torch.stack(sent)


class Norse(nn.Module):
    """Box cells: no synaptic current of their own."""

    def __init__(self):
        super().__init__()
        import norse.torch as norse

        inverse = torch.tensor((1 - KEEP) / 1e-3)
        self.first, self.second = linear(work["w1"]), linear(work["w2"])
        settings = norse.LIFBoxParameters(
            tau_mem_inv=inverse, method="super", alpha=torch.tensor(SLOPE)
        )
        self.hidden = norse.LIFBoxCell(p=settings, dt=1e-3)
        self.out = norse.LIBoxCell(p=norse.LIBoxParameters(tau_mem_inv=inverse), dt=1e-3)

    def forward(self, inputs):
        """Read-out membranes over time."""
        currents, state, own, sent = self.first(inputs), None, None, []
        for now in currents:
            # its membranes take in a fraction 1 - KEEP of their input
            spikes, state = self.hidden(now / (1 - KEEP), state)
            u, own = self.out(self.second(spikes) / (1 - KEEP), own)
            sent.append(u)
        return torch.stack(sent)


class SpikingJelly(nn.Module):
    """Multi-step LIF nodes."""

    def __init__(self):
        super().__init__()
        from spikingjelly.activation_based import neuron, surrogate

        tau = 1 / (1 - KEEP)
        self.first, self.second = linear(work["w1"]), linear(work["w2"])
        self.hidden = neuron.LIFNode(
            tau=tau,
            decay_input=False,
            v_reset=None,
            surrogate_function=surrogate.ATan(),
            step_mode="m",
        )

    def forward(self, inputs):
        """Read-out membranes over time."""
        from spikingjelly.activation_based import functional

        functional.reset_net(self)
        currents = self.second(self.hidden(self.first(inputs)))
        u, sent = torch.zeros_like(currents[0]), []
        for now in currents:
            u = KEEP * u + now
            sent.append(u)
        return torch.stack(sent)


network = {"snntorch": SnnTorch, "norse": Norse, "spikingjelly": SpikingJelly}[LIBRARY]()
optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
objective = nn.CrossEntropyLoss()


def step():
    """One step of learning; the loss."""
    optimiser.zero_grad()
    loss = objective(network(x).max(0).values, y)
    loss.backward()
    optimiser.step()
    return float(loss)


losses = [step() for _ in range(int(compared))]
came_out = f"loss {losses[0]:.3f} to {losses[-1]:.3f}"
version = importlib.metadata.version(LIBRARY)
print(json.dumps({"version": version, "came_out": came_out}), flush=True)
for line in sys.stdin:
    began = time.process_time()
    for _ in range(int(line)):
        step()
    print(json.dumps(time.process_time() - began), flush=True)
