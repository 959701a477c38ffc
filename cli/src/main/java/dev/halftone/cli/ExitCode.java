// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

/** What the process answers; an interrupted one (Ctrl-C) answers 130, which is the JVM's doing. */
final class ExitCode {
    static final int OK = 0;
    static final int FAILED = 1;
    static final int USAGE = 2;
    /** Some items of a batch failed, the others are done. */
    static final int SOME_FAILED = 3;
    /** An input or weight file is not what it should be. */
    static final int BAD_INPUT = 4;
    /** The kernels that were asked for cannot run here. */
    static final int NO_BACKEND = 5;

    private ExitCode() {}
}
