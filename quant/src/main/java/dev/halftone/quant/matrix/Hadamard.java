// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.matrix;

import java.util.Arrays;

/**
 * Hadamard matrices, of entries +-1 with {@code H H^T = n I}: by Sylvester's doubling from order 1, or from the order {@code q + 1} of
 * Paley's first construction for a prime {@code q = 3 mod 4}: 4, 8, 12, 20, 24, 32, 44, 48, 60, 68, 72, 80, 84, 104, 108, 128, 132, ...
 */
public final class Hadamard {
    private Hadamard() {}

    /**
     * Returns a matrix of an order.
     *
     * @throws IllegalArgumentException if these constructions have none
     */
    public static Matrix of(int order) {
        for (int base = order; base >= 1; base /= 2) {
            boolean paley = base % 4 == 0 && isPrime(base - 1);
            if (base == 1 || paley) {
                Matrix h = base == 1 ? Matrix.of(1, 1, 1) : paley(base - 1);
                while (h.rows() < order) {
                    h = doubled(h);
                }
                return h;
            }
            if (base % 2 != 0) {
                break;
            }
        }
        throw new IllegalArgumentException("no Hadamard matrix of order " + order
                + " is known here; it must be a power of two, or one times 12, 20, 44, 60, 68, ...");
    }

    private static boolean isPrime(int n) {
        for (int d = 2; d * d <= n; d++) {
            if (n % d == 0) {
                return false;
            }
        }
        return n > 1;
    }

    /** {@code I + S}, where {@code S} has the quadratic character of differences inside a border of +1 above and -1 to the left. */
    private static Matrix paley(int q) {
        int[] character = new int[q];
        Arrays.fill(character, -1);
        for (long i = 1; i < q; i++) {
            character[(int) (i * i % q)] = 1;
        }
        character[0] = 0;
        Matrix h = Matrix.identity(q + 1);
        for (int i = 0; i < q; i++) {
            h.set(0, i + 1, 1);
            h.set(i + 1, 0, -1);
            for (int j = 0; j < q; j++) {
                h.set(i + 1, j + 1, character[Math.floorMod(i - j, q)] + (i == j ? 1 : 0));
            }
        }
        return h;
    }

    private static Matrix doubled(Matrix h) {
        int n = h.rows();
        Matrix twice = Matrix.zeros(2 * n, 2 * n);
        for (int i = 0; i < 2 * n; i++) {
            for (int j = 0; j < 2 * n; j++) {
                double v = h.get(i % n, j % n);
                twice.set(i, j, i >= n && j >= n ? -v : v);
            }
        }
        return twice;
    }
}
