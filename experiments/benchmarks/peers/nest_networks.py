"""NEST's side of spiking_networks: one thread, 0.1 ms."""

import contextlib
import json
import os
import sys
import time

with contextlib.redirect_stdout(sys.stderr):  # NEST greets
    import nest
import numpy as np

KIND = sys.argv[1]
SECONDS, SETTLED = 1.0, 0.1

nest.set_verbosity("M_ERROR")
nest.ResetKernel()
nest.resolution, nest.local_num_threads, nest.rng_seed = 0.1, 1, 7
random = np.random.default_rng(7)
if KIND == "brunel":
    settings = {
        "C_m": 1.0,
        "tau_m": 20.0,
        "t_ref": 2.0,
        "E_L": 0.0,
        "V_reset": 10.0,
        "V_th": 20.0,
    }
    neurons = nest.Create("iaf_psc_delta", 12_500, params=settings)
    neurons.V_m = list(random.uniform(0, 20, 12_500))
    drive = nest.Create("poisson_generator", params={"rate": 20_000.0})
    nest.CopyModel("static_synapse", "exc", {"weight": 0.1, "delay": 1.5})
    nest.CopyModel("static_synapse", "inh", {"weight": -0.5, "delay": 1.5})
    nest.Connect(drive, neurons, syn_spec="exc")
    fixed = lambda degree: {"rule": "fixed_indegree", "indegree": degree}
    nest.Connect(neurons[:10_000], neurons, fixed(1000), "exc")
    nest.Connect(neurons[10_000:], neurons, fixed(250), "inh")
else:
    common = {"V_th": -50.0, "V_reset": -60.0, "t_ref": 5.0, "tau_syn_ex": 5.0, "tau_syn_in": 10.0}
    if KIND == "coba":
        own = {"C_m": 200.0, "g_L": 10.0, "E_L": -60.0, "E_ex": 0.0, "E_in": -80.0, "I_e": 200.0}
        model, weights = "iaf_cond_exp", (6.0, -67.0)
    else:  # a capacitance that equals tau makes currents millivolts
        own = {"C_m": 20.0, "tau_m": 20.0, "E_L": -49.0}
        model, weights = "iaf_psc_exp", (1.62, -9.0)
    neurons = nest.Create(model, 4_000, params={**common, **own})
    neurons.V_m = list(np.minimum(random.normal(-55, 2, 4_000), -50.01))
    rule = {"rule": "pairwise_bernoulli", "p": 0.02}
    nest.Connect(neurons[:3_200], neurons, rule, {"weight": weights[0], "delay": 0.1})
    nest.Connect(neurons[3_200:], neurons, rule, {"weight": weights[1], "delay": 0.1})
recorder = nest.Create("spike_recorder")
nest.Connect(neurons, recorder)
nest.Prepare()
nest.Run(SECONDS * 1000)
i, t = np.asarray(recorder.events["senders"]) - 1, np.asarray(recorder.events["times"]) / 1000
late = t >= SETTLED
cvs = []
for neuron in range(1000):
    isi = np.diff(np.sort(t[late & (i == neuron)]))
    if len(isi) >= 4:
        cvs.append(isi.std() / isi.mean())
rate = late.sum() / len(neurons) / (SECONDS - SETTLED)
came_out = f"{rate:.1f} Hz, CV {np.mean(cvs):.2f}"
out = os.fdopen(os.dup(1), "w")
print(json.dumps({"version": nest.__version__, "came_out": came_out}), file=out, flush=True)
for line in sys.stdin:
    began = time.process_time()
    for _ in range(int(line)):
        nest.Run(SECONDS * 1000)
    print(json.dumps((time.process_time() - began) / SECONDS), file=out, flush=True)
