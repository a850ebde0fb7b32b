"""Make a compressed-tensors checkpoint by rounding: ``python SCRIPT REFERENCE_MODEL TARGET_FOLDER``, here FP8_DYNAMIC."""

from __future__ import annotations

import sys

from ct_w4a16 import make

if __name__ == "__main__":
    make(*sys.argv[1:], scheme="FP8_DYNAMIC")
