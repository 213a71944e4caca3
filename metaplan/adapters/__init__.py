"""Engines that run on plans: each adapter imports its engine inside functions and adds no logic of its own."""
