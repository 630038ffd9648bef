"""Settings of `spiking_learners` for its larger networks, searched on held-out training images.

As flags of `fepstack run spiking_learners`:

    784-400-10 on FashionMNIST: --data fashion-mnist --hidden 400 --energy categorical --seeds 3
        --epochs 16 --batch 64 --rate 1e-3 --settle-rate 0.05 --settle-steps 4
        --input-octaves 5 --value-octaves -8 --error-octaves 3 --blur 1
    784-1024-512-10 on FashionMNIST: --data fashion-mnist --hidden 1024-512 --seeds 1
        --epochs 12 --batch 64 --rate 5e-4 --settle-rate 0.05 --settle-steps 4
        --input-octaves 7 --value-octaves 2
    784-400-10 on MNIST: --data mnist --hidden 400 --energy categorical --seeds 3
        --epochs 16 --batch 64 --rate 1e-3 --settle-rate 0.05 --settle-steps 4
        --input-octaves 5 --value-octaves -8 --error-octaves 3 --blur 1 --shift 1

Octaves and rate were searched by accuracy on the last 6,000 training images (180 of the digits;
--held-out), cosine and spikes on the others. The blur of the smaller networks was then made less,
for the gradient before learning; that of MNIST is FashionMNIST's.
"""

from dataclasses import replace

from experiments.spiking_learners import Config

NETWORKS = {
    "784-400-10 on FashionMNIST": Config(
        data="fashion-mnist",
        hidden="400",
        energy="categorical",
        seeds=3,
        epochs=16,
        batch=64,
        rate=1e-3,
        settle_rate=0.05,
        settle_steps=4,
        input_octaves=5,
        value_octaves=-8,
        error_octaves=3,
        blur=1,
    ),
    "784-1024-512-10 on FashionMNIST": Config(
        data="fashion-mnist",
        hidden="1024-512",
        seeds=1,
        epochs=12,
        batch=64,
        rate=5e-4,
        settle_rate=0.05,
        settle_steps=4,
        input_octaves=7,
        value_octaves=2,
    ),
}
NETWORKS["784-400-10 on MNIST"] = replace(
    NETWORKS["784-400-10 on FashionMNIST"], data="mnist", shift=1
)
