"""Tests of the build: train, export, gate, publish."""
