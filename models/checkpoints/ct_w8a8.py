"""Make a compressed-tensors checkpoint by rounding: ``python SCRIPT REFERENCE_MODEL TARGET_FOLDER``, here W8A8 (int8)."""

import sys

from ct_w4a16 import make

if __name__ == "__main__":
    make(*sys.argv[1:], scheme="W8A8")
