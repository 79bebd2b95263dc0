"""The statistics of diffai's pass in C++."""
