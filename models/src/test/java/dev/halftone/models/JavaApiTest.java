// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The examples of README, word for word, in programs of their own: on the class path and on the module path. */
class JavaApiTest {
    private static final String WARNING =
            "this JVM runs without the Vector API; start it with --add-modules jdk.incubator.vector";

    @TempDir
    private Path folder;

    /** What a program needs of this project, and nothing of its tests. */
    private static List<String> libraries() {
        return Arrays.stream(System.getProperty("java.class.path").split(Pattern.quote(File.pathSeparator), -1))
                .filter(entry -> (entry.contains("halftone-") && entry.endsWith(".jar"))
                        || Path.of(entry).endsWith(Path.of("target", "classes"))
                        || Path.of(entry).getFileName().toString().startsWith("jackson-core"))
                .toList();
    }

    /** Returns the Java examples of README. */
    private static List<String> examples() throws IOException {
        String readme =
                Files.readString(Path.of(Objects.requireNonNull(System.getProperty("halftone.root")), "README.md"));
        Matcher fence = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(readme);
        List<String> examples = new ArrayList<>();
        while (fence.find()) {
            examples.add(fence.group(1));
        }
        return examples;
    }

    /** Writes a program that runs the example on a small image. */
    private Path program(String example) throws IOException {
        Path sources = Files.createDirectories(folder.resolve("src/app"));
        Files.writeString(folder.resolve("src/module-info.java"), "module app { requires dev.halftone.models; }\n");
        Files.writeString(sources.resolve("Example.java"), """
                package app;
                import dev.halftone.models.Upscaler;
                import java.awt.image.BufferedImage;
                class Example {
                    public static void main(String[] args) throws Exception {
                        BufferedImage image = new BufferedImage(20, 12, BufferedImage.TYPE_INT_ARGB);
                        image.setRGB(5, 5, 0xFFFFFFFF);
                """ + example.substring(0, example.lastIndexOf('}')) + """
                            System.out.println(big.getWidth() + " x " + big.getHeight() + ", brightest at the middle: "
                                + ((big.getRGB(11, 11) >>> 24) > (big.getRGB(35, 3) >>> 24)));
                        }
                    }
                }
                """);
        return folder.resolve("src");
    }

    private Path compile(Path sources, boolean modules) throws IOException {
        Path classes = folder.resolve(modules ? "modules" : "classes");
        List<String> args = new ArrayList<>(List.of("-d", classes.toString(), "-proc:none"));
        args.addAll(List.of(modules ? "-p" : "-cp", String.join(File.pathSeparator, libraries())));
        args.add(sources.resolve("app/Example.java").toString());
        if (modules) {
            args.add(sources.resolve("module-info.java").toString());
        }
        JavaCompiler compiler = Objects.requireNonNull(ToolProvider.getSystemJavaCompiler());
        ByteArrayOutputStream errors = new ByteArrayOutputStream();
        int exitCode = compiler.run(null, null, errors, args.toArray(String[]::new));
        assertThat(exitCode).as(errors.toString(StandardCharsets.UTF_8)).isZero();
        return classes;
    }

    @ParameterizedTest
    @CsvSource({"false, false", "false, true", "true, false", "true, true"})
    void theExampleRuns(boolean modules, boolean vectors) throws Exception {
        Path classes = compile(program(examples().getFirst()), modules);
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.add("-Djava.awt.headless=true");
        if (vectors) {
            command.addAll(List.of("--add-modules", "jdk.incubator.vector"));
        }
        List<String> path = new ArrayList<>(List.of(classes.toString()));
        path.addAll(libraries());
        command.addAll(List.of(modules ? "-p" : "-cp", String.join(File.pathSeparator, path)));
        command.addAll(modules ? List.of("-m", "app/app.Example") : List.of("app.Example"));
        Path out = folder.resolve("out");
        Path err = folder.resolve("err");
        Process process = new ProcessBuilder(command)
                .redirectOutput(out.toFile())
                .redirectError(err.toFile())
                .start();
        int exitCode = process.waitFor();
        String errors = Files.readString(err, StandardCharsets.UTF_8);
        assertThat(exitCode).as(errors).isZero();
        assertThat(Files.readString(out)).isEqualTo("40 x 24, brightest at the middle: true\n");
        // Without vectors one warning says what is missing and how to get it.
        assertThat(errors.split(Pattern.quote(WARNING), -1)).as(errors).hasSize(vectors ? 1 : 2);
        assertThat(errors.lines().filter(line -> line.contains("WARNING")).collect(Collectors.toList()))
                .as(errors)
                .hasSize(1); // of vectors the JDK itself says that they incubate
    }

    @Test
    void thereIsAnExample() throws IOException {
        assertThat(examples().getFirst().lines()).hasSize(3);
    }
}
