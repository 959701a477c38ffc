// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import java.util.List;

/**
 * Some weights as planes of signs, each with a scale of the output times a scale of the input, {@code w_or = sum_p (+-1) row_po column_pr},
 * fitted in turns (ARB-RC of ARB-LLM, Li et al. 2025). With one plane the signs are those of the weights, and the fit ends at the best
 * product of two vectors for their magnitudes.
 */
final class RowColumnFit {
    private final double[][] w;
    private final boolean[][] set;
    private final boolean own;
    private final double[][] rows;
    private final double[][] columns;
    private final int[][] codes;
    /** What planes leave over; 0 outside the set. */
    private final double[][] rest;

    /**
     * Begins with one plane after the other, each with mean magnitudes.
     *
     * @param w {@code [out][inputs]}
     * @param set of the same size
     * @param own those with this mark are fitted
     */
    RowColumnFit(double[][] w, boolean[][] set, boolean own, int planes) {
        this.w = w;
        this.set = set;
        this.own = own;
        int out = w.length;
        int inputs = w[0].length;
        rows = new double[planes][out];
        columns = new double[planes][inputs];
        codes = new int[out][inputs];
        rest = new double[out][inputs];
        for (int o = 0; o < out; o++) {
            for (int r = 0; r < inputs; r++) {
                rest[o][r] = has(o, r) ? w[o][r] : 0;
            }
        }
        for (int p = 0; p < planes; p++) {
            begin(p);
            add(p, -1);
        }
    }

    private boolean has(int o, int r) {
        return set[o][r] == own;
    }

    private double sign(int p, int o, int r) {
        return (codes[o][r] >> p & 1) == 1 ? 1 : -1;
    }

    /** Sets the signs of a plane to those of what is left, and its scales to means: of magnitudes, and of magnitudes over row scales. */
    private void begin(int p) {
        int[] inColumn = new int[columns[p].length];
        for (int o = 0; o < rest.length; o++) {
            int inRow = 0;
            double sum = 0;
            for (int r = 0; r < inColumn.length; r++) {
                codes[o][r] |= (rest[o][r] >= 0 ? 1 : 0) << p;
                if (has(o, r)) {
                    sum += Math.abs(rest[o][r]);
                    inRow++;
                    inColumn[r]++;
                }
            }
            rows[p][o] = inRow == 0 ? 0 : sum / inRow;
        }
        for (int o = 0; o < rest.length; o++) {
            for (int r = 0; r < inColumn.length; r++) {
                if (has(o, r) && rows[p][o] > 0) {
                    columns[p][r] += Math.abs(rest[o][r]) / rows[p][o] / inColumn[r];
                }
            }
        }
    }

    /** Adds a plane to what is left, or takes it away. */
    private void add(int p, double factor) {
        for (int o = 0; o < rest.length; o++) {
            for (int r = 0; r < columns[p].length; r++) {
                if (has(o, r)) {
                    rest[o][r] += factor * sign(p, o, r) * rows[p][o] * columns[p][r];
                }
            }
        }
    }

    /** Refines scales and then, of several planes, signs; {@code errors} gets those of the start and of every step. */
    void refine(int rounds, List<Double> errors) {
        errors.add(error());
        for (int round = 0; round < rounds; round++) {
            for (int p = 0; p < rows.length; p++) {
                add(p, 1);
                refineRows(p);
                refineColumns(p);
                add(p, -1);
                errors.add(error());
            }
            if (rows.length > 1) {
                pick();
                errors.add(error());
            }
        }
    }

    private void refineRows(int p) {
        for (int o = 0; o < rest.length; o++) {
            double sum = 0;
            double squares = 0;
            for (int r = 0; r < columns[p].length; r++) {
                if (has(o, r)) {
                    sum += columns[p][r] * sign(p, o, r) * rest[o][r];
                    squares += columns[p][r] * columns[p][r];
                }
            }
            rows[p][o] = squares > 0 ? sum / squares : 0;
        }
    }

    private void refineColumns(int p) {
        for (int r = 0; r < columns[p].length; r++) {
            double sum = 0;
            double squares = 0;
            for (int o = 0; o < rest.length; o++) {
                if (has(o, r)) {
                    sum += rows[p][o] * sign(p, o, r) * rest[o][r];
                    squares += rows[p][o] * rows[p][o];
                }
            }
            columns[p][r] = squares > 0 ? sum / squares : 0;
        }
    }

    /** Gives every weight the nearest of all sums of its planes. */
    private void pick() {
        for (int o = 0; o < rest.length; o++) {
            for (int r = 0; r < rest[o].length; r++) {
                if (!has(o, r)) {
                    continue;
                }
                double least = Math.abs(rest[o][r]);
                for (int code = 0; code < 1 << rows.length; code++) {
                    double left = w[o][r];
                    for (int p = 0; p < rows.length; p++) {
                        double size = rows[p][o] * columns[p][r];
                        left -= (code >> p & 1) == 1 ? size : -size;
                    }
                    if (Math.abs(left) < least) {
                        least = Math.abs(left);
                        codes[o][r] = code;
                        rest[o][r] = left;
                    }
                }
            }
        }
    }

    /** Returns the sum of squared errors. */
    double error() {
        double error = 0;
        for (double[] row : rest) {
            for (double d : row) {
                error += d * d;
            }
        }
        return error;
    }

    double row(int plane, int output) {
        return rows[plane][output];
    }

    double column(int plane, int input) {
        return columns[plane][input];
    }

    int code(int output, int input) {
        return codes[output][input];
    }
}
