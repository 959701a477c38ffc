// SPDX-License-Identifier: Apache-2.0

/** Image files, MATLAB's bicubic resizing, luma, PSNR and SSIM. An image is a tensor {@code [H, W, 3]}, RGB, 0..255. */
@NullMarked
package dev.halftone.models.image;

import org.jspecify.annotations.NullMarked;
