// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.ImageSource;
import dev.halftone.models.procedural.ProceduralImages;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The images of a folder or, where none is given, the project's own. */
final class Images {
    private Images() {}

    static List<ImageSource> forEvaluation(@Nullable Path folder) throws IOException {
        return folder == null ? sources(ProceduralImages.evaluationSet()) : ImageSource.folder(folder);
    }

    static List<ImageSource> forCalibration(@Nullable Path folder) throws IOException {
        return folder == null ? sources(ProceduralImages.calibrationSet()) : ImageSource.folder(folder);
    }

    private static List<ImageSource> sources(List<ProceduralImages.Named> images) {
        return images.stream().map(i -> ImageSource.of(i.name(), i.image())).toList();
    }
}
