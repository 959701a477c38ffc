// SPDX-License-Identifier: Apache-2.0

/** Dense fp32 tensors, packed low-bit storage, the kernels that run on them, and the weight-file readers. */
@SuppressWarnings("module") // the qualified exports name modules that are built after this one
module dev.halftone.tensor {
    requires com.fasterxml.jackson.core;
    requires static jdk.incubator.vector;
    requires static org.jspecify;

    exports dev.halftone.tensor;
    exports dev.halftone.tensor.io;
    exports dev.halftone.tensor.kernels to
            dev.halftone.nn,
            dev.halftone.quant,
            dev.halftone.models,
            dev.halftone.cli,
            dev.halftone.bench;
}
