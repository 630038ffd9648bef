"""sparxml's side of spiking_networks: its own models of the three networks, delivered by events."""

import importlib.metadata
import json
import sys
import time

import jax
import numpy as np
from sparx.graph import SpikeRaster, simulate
from sparx.graph.models import brunel, coba, cuba

KIND = sys.argv[1]
SHORT_MS, LONG_MS = 100.0, 1100.0

network = {"brunel": lambda: brunel(2500, g=5.0, eta=2.0), "coba": coba, "cuba": cuba}[KIND]()
state = network.init(jax.random.key(0))
monitors = {"e": SpikeRaster("e"), "i": SpikeRaster("i")}


def run(duration_ms):
    """CPU seconds of a call, which compiles every time, and the raster."""
    began = time.process_time()
    found = simulate(network, state, duration=duration_ms, key=jax.random.key(1), monitors=monitors)
    spikes = np.concatenate([found.records["e"], found.records["i"]], axis=1)
    return time.process_time() - began, spikes


spikes = run(LONG_MS)[1][1000:]
cvs = []
for train in spikes[:, :1000].T:
    isi = np.diff(np.nonzero(train)[0])
    if len(isi) >= 4:
        cvs.append(isi.std() / isi.mean())
came_out = f"{spikes.mean() * 1e4:.1f} Hz, CV {np.mean(cvs):.2f}"
version = importlib.metadata.version("sparxml")
print(json.dumps({"version": version, "came_out": came_out}), flush=True)
for line in sys.stdin:
    taken = sum(run(LONG_MS)[0] - run(SHORT_MS)[0] for _ in range(int(line)))
    print(json.dumps(taken), flush=True)
