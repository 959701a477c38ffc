// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.vector.VectorKernels;
import java.lang.System.Logger.Level;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the kernels of this process, once, at the first use: the vector kernels unless something stands against them.
 * {@code -Dhalftone.kernels=scalar|vector} forces; a forced choice that cannot run is an error, never a silent fallback.
 */
public final class KernelProvider {
    /** The system property that forces the choice. */
    public static final String PROPERTY = "halftone.kernels";

    private static final String VECTOR_MODULE = "jdk.incubator.vector";

    /** A choice and its reason. */
    record Choice(Kernels kernels, String reason) {}

    private static final class Holder {
        static final Choice CHOICE = announce(choose(System.getProperty(PROPERTY), refusal()));
    }

    private KernelProvider() {}

    /**
     * Returns the kernels.
     *
     * @throws UnavailableKernelsException if others were forced that cannot run here
     */
    public static Kernels kernels() {
        return choice().kernels();
    }

    /** Returns why {@link #kernels()} are the ones they are, in a few words. */
    public static String reason() {
        return choice().reason();
    }

    private static Choice choice() {
        try {
            return Holder.CHOICE;
        } catch (ExceptionInInitializerError e) {
            if (e.getCause() instanceof UnavailableKernelsException unavailable) {
                throw unavailable;
            }
            throw e;
        }
    }

    /** Decides; {@code refusal} says why the vector kernels cannot run, or is null. */
    static Choice choose(@Nullable String forced, @Nullable String refusal) {
        if (forced == null || forced.isEmpty()) {
            return refusal == null
                    ? new Choice(new VectorKernels(), "the Vector API is available")
                    : new Choice(new ScalarKernels(), refusal);
        }
        return switch (forced) {
            case "scalar" -> new Choice(new ScalarKernels(), "forced by -D" + PROPERTY);
            case "vector" -> {
                if (refusal != null) {
                    throw new UnavailableKernelsException("-D" + PROPERTY + "=vector cannot be satisfied: " + refusal);
                }
                yield new Choice(new VectorKernels(), "forced by -D" + PROPERTY);
            }
            default ->
                throw new UnavailableKernelsException("-D" + PROPERTY + " must be scalar or vector, not " + forced);
        };
    }

    /** Returns the first reason against the vector kernels in this JVM, or null. */
    private static @Nullable String refusal() {
        Optional<Module> module = ModuleLayer.boot().findModule(VECTOR_MODULE);
        if (module.isEmpty()) {
            return "this JVM runs without the Vector API; start it with --add-modules " + VECTOR_MODULE;
        }
        String mode = System.getProperty("java.vm.info", "");
        if (mode.contains("interpreted mode")) {
            return "this JVM only interprets, where the Vector API is much slower than plain loops";
        }
        return null;
    }

    private static Choice announce(Choice choice) {
        boolean missing = choice.reason().contains("--add-modules");
        System.getLogger("dev.halftone.kernels")
                .log(
                        missing ? Level.WARNING : Level.DEBUG,
                        "{0} kernels, {1}-bit: {2}",
                        choice.kernels().name(),
                        choice.kernels().vectorBits(),
                        choice.reason());
        return choice;
    }
}
