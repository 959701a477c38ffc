// SPDX-License-Identifier: Apache-2.0

/** Quantizers, calibration, recipes, packed layers and the quantized-model file. */
module dev.halftone.quant {
    requires transitive dev.halftone.nn;
    requires static org.jspecify;

    exports dev.halftone.quant;
    exports dev.halftone.quant.calibration;
    exports dev.halftone.quant.format;
    exports dev.halftone.quant.pass;
    exports dev.halftone.quant.recipe;
}
