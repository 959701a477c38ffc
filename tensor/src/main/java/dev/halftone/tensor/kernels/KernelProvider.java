// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

/** Chooses the kernels of this process, once, at the first use. */
public final class KernelProvider {
    private static final class Holder {
        static final Kernels KERNELS = new ScalarKernels();
    }

    private KernelProvider() {}

    /** Returns the kernels. */
    public static Kernels kernels() {
        return Holder.KERNELS;
    }

    /** Returns why {@link #kernels()} are the ones they are. */
    public static String reason() {
        return "only scalar kernels exist so far";
    }
}
