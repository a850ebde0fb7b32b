# /// script
# [tool.numbers]
# method = "autoround"
# notebook = "autoround"
# saves = true
#
# [tool.numbers.variants.autoround-4]
# of = "4-bit"
# label = "4 bit"
# bits = 4
# group = 64
# calibrated = true
# differs = "512 tokens a sequence; the library's own length is 2048"
#
# [tool.numbers.variants.autoround-2]
# of = "2-bit"
# label = "2 bit"
# bits = 2
# group = 64
# calibrated = true
# differs = "512 tokens a sequence; the library's own length is 2048"
#
# [tool.numbers.variants.autoround-2-ext]
# label = "2 bit, enable_alg_ext"
# bits = 2
# group = 64
# calibrated = true
# differs = """\
# enable_alg_ext is the library's advice for 2 bits; its advice to take 1000 iterations was not followed: 200, its default"""
# ///
"""AutoRound on the real model, with the library's own number of iterations."""

import logging
from functools import partial

from auto_round import AutoRound, RTNConfig, SignRoundConfig

from guide.guest.making import Given

logging.getLogger("autoround").setLevel(logging.ERROR)


def tuned(given: Given, bits: int, extended: bool = False) -> str:
    """Tune the roundings of each block on the calibration texts; without tuning where speed alone counts."""
    own = RTNConfig(disable_opt_rtn=True) if given.quick else SignRoundConfig(enable_alg_ext=extended)
    quantizer = AutoRound(
        given.load(),
        given.tokenizer,
        scheme=f"W{bits}A16",
        group_size=64,
        alg_configs=own,
        dataset=list(given.calibration.split(8)),
        nsamples=len(given.calibration),
        seqlen=given.calibration.shape[1],
        batch_size=8,
        enable_torch_compile=False,
    )
    _, folder = quantizer.quantize_and_save(str(given.folder), format="auto_round")
    return str(folder)


VARIANTS = {
    "autoround-4": partial(tuned, bits=4),
    "autoround-2": partial(tuned, bits=2),
    "autoround-2-ext": partial(tuned, bits=2, extended=True),
}
