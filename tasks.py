"""This repository runs itself with its own tool, plus the chores of its own."""

from unstale import ns
