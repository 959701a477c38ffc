// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.WeightOperand;
import dev.halftone.quant.format.Codebook;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;

/** The levels of every value of a weight by rising code, and the way from each to the next: position 2.5 is half way from code 2 to 3. */
sealed interface Ladder {
    /** Returns the position of a value, that of the last level beside it where it is outside. */
    double position(int index, float value);

    /** Returns the lowest code that a value at a position may take. */
    int from(int index, double position);

    /** Returns the highest code that a value at a position may take, larger than {@link #from}. */
    int to(int index, double position);

    /** Returns what is at a position. */
    double at(int index, double position);

    /** Returns the distance of the levels around a position. */
    double slope(int index, double position);

    /** Returns the level of a code. */
    float level(int index, int code);

    /** Leaves a weight with these codes. */
    void settle(WeightOperand weight, int[] codes);

    /** Uniform grids: a value takes the level below or above. */
    record Even(UniformQuantizer quantizer, int channels) implements Ladder {
        private UniformGrid grid(int index) {
            return quantizer.grid(index % channels);
        }

        @Override
        public double position(int index, float value) {
            UniformGrid grid = grid(index);
            return Math.clamp(((double) value - grid.lower()) / grid.scale(), 0, grid.maxCode());
        }

        @Override
        public int from(int index, double position) {
            return Math.min((int) position, grid(index).maxCode() - 1);
        }

        @Override
        public int to(int index, double position) {
            return from(index, position) + 1;
        }

        @Override
        public double at(int index, double position) {
            return grid(index).lower() + grid(index).scale() * position;
        }

        @Override
        public double slope(int index, double position) {
            return grid(index).scale();
        }

        @Override
        public float level(int index, int code) {
            return grid(index).level(code);
        }

        /** The quantizer stays, and values are moved to the levels that it is to find. */
        @Override
        public void settle(WeightOperand weight, int[] codes) {
            Tensor values = weight.values();
            for (int i = 0; i < codes.length; i++) {
                values.array()[i] = level(i, codes[i]);
            }
            weight.setValues(values);
            weight.quantize(quantizer);
        }
    }

    /** A table of rising levels: a value takes the nearest, or one of the two beside it. */
    record Table(Codebook codebook) implements Ladder {
        /** Returns the last code; codes above it have its level too. */
        private int last() {
            Tensor levels = codebook.levels();
            int last = levels.size() - 1;
            while (last > 1 && levels.get(last) <= levels.get(last - 1)) {
                last--;
            }
            return last;
        }

        @Override
        public double position(int index, float value) {
            int below = 0;
            while (below < last() - 1 && level(index, below + 1) <= value) {
                below++;
            }
            double distance = slope(index, below);
            double beyond = distance == 0 ? 0 : (value - (double) level(index, below)) / distance;
            return below + Math.clamp(beyond, 0, 1);
        }

        private int nearest(double position) {
            return (int) Math.rint(position);
        }

        @Override
        public int from(int index, double position) {
            return Math.max(0, nearest(position) - 1);
        }

        @Override
        public int to(int index, double position) {
            return Math.min(last(), nearest(position) + 1);
        }

        private int below(double position) {
            return Math.min((int) position, last() - 1);
        }

        @Override
        public double at(int index, double position) {
            int below = below(position);
            return level(index, below) + (position - below) * slope(index, position);
        }

        @Override
        public double slope(int index, double position) {
            int below = below(position);
            return (double) level(index, below + 1) - level(index, below);
        }

        @Override
        public float level(int index, int code) {
            return codebook.level(index, code);
        }

        @Override
        public void settle(WeightOperand weight, int[] codes) {
            byte[] bytes = new byte[codes.length];
            for (int i = 0; i < codes.length; i++) {
                bytes[i] = (byte) codes[i];
            }
            weight.quantize(new Codebook(
                    codebook.shape(),
                    PackedCodes.pack(bytes, codebook.bits()),
                    codebook.levels(),
                    codebook.scale(),
                    codebook.offset()));
        }
    }
}
