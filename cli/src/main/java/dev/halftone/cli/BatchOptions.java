// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.image.ImageFormat;
import java.nio.file.FileSystems;
import java.nio.file.PathMatcher;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What is to be done with several images. */
final class BatchOptions {
    /** What to do when an image fails. */
    private enum OnError {
        SKIP,
        STOP
    }

    @Option(
            names = {"-r", "--recursive"},
            description = "Look into subfolders too; the output folder gets the same tree.")
    private boolean recursive;

    @Option(
            names = "--glob",
            paramLabel = "PATTERN",
            description = "Of folders, take only files whose name or path matches, for example '*.png'.")
    private @Nullable String glob;

    @Option(names = "--suffix", paramLabel = "TEXT", description = "Put this between name and ending, for example _x2.")
    private @Nullable String suffix;

    @Option(
            names = {"-f", "--format"},
            paramLabel = "FORMAT",
            description = {
                "Write png, jpg, bmp or tif into a folder (default: each input's format, png for gif and webp)",
                "or to standard output (default: png)."
            })
    private @Nullable String format;

    @Option(
            names = "--on-error",
            paramLabel = "WHAT",
            description = "When an image of several fails: skip or stop (default: ${DEFAULT-VALUE}).")
    private OnError onError = OnError.SKIP;

    @Option(
            names = "--resume",
            description = "Keep what an earlier run into the same folder has finished, with equal settings and inputs.")
    private boolean resume;

    /** Returns the format to write, or null if none is named. */
    @Nullable
    ImageFormat format() {
        if (format == null) {
            return null;
        }
        return ImageFormat.ofExtension(format)
                .filter(ImageFormat::writable)
                .orElseThrow(() -> new UsageException("--format must be png, jpg, bmp or tif, not " + format));
    }

    boolean stopsOnError() {
        return onError == OnError.STOP;
    }

    boolean resumes() {
        return resume;
    }

    /** Returns which files are taken and what the results are called. */
    BatchFiles.Rules rules() {
        return new BatchFiles.Rules(recursive, matcher(), suffix == null ? "" : suffix, format());
    }

    private @Nullable PathMatcher matcher() {
        try {
            return glob == null ? null : FileSystems.getDefault().getPathMatcher("glob:" + glob);
        } catch (PatternSyntaxException e) {
            throw new UsageException("--glob " + glob + " is no pattern: " + e.getDescription());
        }
    }

    /** Checks that none is given where there is one image; {@code mayName}: a format may be. */
    void requireNone(boolean mayName) {
        if (recursive || resume || glob != null || suffix != null || (format != null && !mayName)) {
            throw new UsageException("--recursive, --glob, --suffix, --format and --resume are for folders of images");
        }
    }
}
