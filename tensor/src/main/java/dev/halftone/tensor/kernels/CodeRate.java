// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

/**
 * How fast codes were multiplied where it was measured once, so that the choice of a way is the same everywhere.
 *
 * @param path the way
 * @param gops 10^9 operations per second of one thread, a product and its addition being two: 3x3 convolution of 64 to 64 channels
 */
public record CodeRate(CodePath path, int gops) {}
