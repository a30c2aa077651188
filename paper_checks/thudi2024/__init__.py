"""Thudi, Jia, Meehan, Shumailov, Papernot 2024, Gradients Look Alike: Privacy is Often Overestimated in DP-SGD.

Read from its released code; the text was not available.
"""
