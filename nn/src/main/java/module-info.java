// SPDX-License-Identifier: Apache-2.0

/** A small neural-network layer set: ops with gradients, the recorded graph, layers, optimizers, execution plans. */
module dev.halftone.nn {
    requires transitive dev.halftone.tensor;
    requires static org.jspecify;

    exports dev.halftone.nn;
    exports dev.halftone.nn.op;
    exports dev.halftone.nn.optim;
}
