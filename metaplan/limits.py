"""The constants of the schedule."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The constants of the schedule, as calibrated on an H200 (bench/tune.py)."""

    recompute: int = 1 << 16
    """points that a program sums by itself; beyond, a first launch sums blocks of rows"""
    block_rows: int = 512
    """most rows of such a block"""
    block_points: int = 4096
    """most points of it, where its rows have several"""
    scan_tile: int = 1024
    """points of one step of a sum"""
    lanes: int = 512
    """the widest tile of a row; rows of more points have a program to themselves"""
    long: int = 1024
    """rows of more points have tiles of so many"""
    wide_lanes: int = 64
    """the same where a program has several rows"""
    waves: int = 4
    """programs that a processor holds at once, about: with more of them a program loops"""
    long_waves: int = 8
    """the same where a program goes along a row of ``turns`` long tiles and more, or of two short ones, all rows alike"""
    turns: int = 8
    short: int = 32
    """rows of at most so many points are flattened into one vector with their neighbours"""
    summed: int = 4096
    """points of a tile of rows that are summed up"""
    vector: int = 128
    """points of such a vector"""
    askers: int = 16
    """most points that ask another axis side by side: each is a row of a sweep"""
    compared: int = 1 << 21
    """pairs of points that are compared by their keys; beyond, a launch before counts blocks of points"""
    counted: int = 256
    """points of such a block"""
    wide_rows: int = 16
    """most rows that a program takes beside lanes"""
    packed: int = 32
    """rows of more points are not padded to their bound: each point looks up its row"""
    packed_rows: int = 4
    """most of them that a program takes beside lanes"""
    packed_lanes: int = 128
    """the tile of such rows, of up to ``long`` points"""
    sought: int = 4096
    """most rows that it looks among"""
    folded: int = 32
    """most rows that a program takes along a fold"""
    spread: int = 2
    """programs for each processor, from where on they take more rows instead; up to here some share a long row"""
    shared: int = 8
    """most programs that share a long row"""
    many_spread: int = 4
    """the same for rows with lanes"""
    crowd: int = 3
    """works with lanes in one launch, from where on a program takes several rows before it takes turns"""
    searching: int = 1
    """the same where each program searches for a number"""
    num_warps: int = 4
    many: int = 2048
    """points that each point asks, or of a row, from where on a program has twice the warps"""
    one_warp: int = 256
    """most points that each point of a fold asks one warp for"""
    unroll: int = 16
    """copies that are written out where a divisor depends on them; more of them share their lines"""


LIMITS = Limits()
