"""Broken builds that the checks must catch, and what makes and tries them. No part of the package."""
