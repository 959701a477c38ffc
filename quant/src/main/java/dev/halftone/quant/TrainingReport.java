// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/**
 * What a pass that trains did.
 *
 * @param pass its {@link Pass#id}
 * @param steps all of them, those before an interruption included
 * @param seconds of this run, those before an interruption not included
 * @param validations in the order of steps, the first before the first step; empty where nothing was held back
 */
public record TrainingReport(String pass, long steps, double seconds, List<Validation> validations) {
    /**
     * How well the held-back batches were answered.
     *
     * @param step how many steps were done
     * @param error mean absolute difference to the teacher's answers, in grey levels
     */
    public record Validation(long step, double error) {
        /** Returns a list as one line, exactly. */
        public static String format(List<Validation> list) {
            return list.stream().map(v -> v.step + ":" + v.error).collect(Collectors.joining(" "));
        }

        /**
         * Returns the list that a line stands for.
         *
         * @throws IllegalArgumentException if it is no such line
         */
        public static List<Validation> parse(String line) {
            List<Validation> list = new ArrayList<>();
            for (String entry : line.isEmpty() ? new String[0] : line.split(" ", -1)) {
                String[] parts = entry.split(":", -1);
                if (parts.length != 2) {
                    throw new IllegalArgumentException("'" + entry + "' is no validation");
                }
                list.add(new Validation(Long.parseLong(parts[0]), Double.parseDouble(parts[1])));
            }
            return list;
        }
    }

    /** Copies the list. */
    public TrainingReport {
        validations = List.copyOf(validations);
    }
}
