// SPDX-License-Identifier: Apache-2.0
package dev.halftone.launcher;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * An installed JDK.
 *
 * @param home its folder
 * @param feature its feature version, for example 25
 */
record Jdk(Path home, int feature) {
    private static final int REQUIRED = 25;
    private static final String NEEDED_MODULE = "jdk.incubator.vector";
    private static final Pattern TOOLCHAIN_HOME = Pattern.compile("<jdkHome>\\s*([^<]+?)\\s*</jdkHome>");

    /** Folders below the home folder in which version managers and IDEs install JDKs; Maven's toolchain discovery knows the same. */
    private static final List<String> USER_FOLDERS = List.of(
            ".jdks",
            ".m2/jdks",
            ".sdkman/candidates/java",
            ".gradle/jdks",
            ".jenv/versions",
            ".jbang/cache/jdks",
            ".asdf/installs/java",
            ".jabba/jdk",
            "Library/Java/JavaVirtualMachines");

    private static final List<String> SYSTEM_FOLDERS = List.of(
            "/usr/lib/jvm",
            "/usr/java",
            "/usr/jdk",
            "/opt/java",
            "/Library/Java/JavaVirtualMachines",
            "C:\\Program Files\\Java",
            "C:\\Program Files\\Eclipse Adoptium");

    /**
     * Finds a JDK that can run Halftone: the running one, JAVA_HOME and its relatives (JAVA25_HOME, JDK25_HOME, JDK_HOME), those of
     * Maven's toolchains.xml, else the oldest suitable one in the usual folders. Oldest, because it is closest to the one that the
     * classes were compiled for.
     */
    static Optional<Jdk> find(Path running, Map<String, String> environment, Path userHome) {
        Set<Path> named = new LinkedHashSet<>();
        named.add(running);
        new TreeMap<>(environment).forEach((name, value) -> {
            if (name.matches("(JAVA|JDK)\\w*_HOME") && !value.isBlank()) {
                // JAVA_HOME itself speaks before its relatives.
                named.add(Path.of(environment.getOrDefault("JAVA_HOME", value)));
                named.add(Path.of(value));
            }
        });
        named.addAll(toolchains(userHome.resolve(".m2/toolchains.xml")));
        List<Path> installed = new ArrayList<>();
        USER_FOLDERS.forEach(folder -> installed.addAll(children(userHome.resolve(folder))));
        SYSTEM_FOLDERS.forEach(folder -> installed.addAll(children(Path.of(folder))));
        return named.stream()
                .flatMap(home -> at(home).stream())
                .filter(Jdk::suits)
                .findFirst()
                .or(() -> installed.stream()
                        .flatMap(home -> at(home).stream())
                        .filter(Jdk::suits)
                        .min(Comparator.comparingInt(Jdk::feature)));
    }

    /** Reads the version of the JDK in a folder from its {@code release} file, which is faster than starting it. */
    static Optional<Jdk> at(Path folder) {
        Path bundle = folder.resolve("Contents/Home"); // macOS
        Path home = Files.isDirectory(bundle) ? bundle : folder;
        Properties release = new Properties();
        try (InputStream in = Files.newInputStream(home.resolve("release"))) {
            release.load(in);
        } catch (IOException | IllegalArgumentException e) {
            return Optional.empty(); // not a JDK
        }
        Matcher version = Pattern.compile("\"?(\\d+).*").matcher(release.getProperty("JAVA_VERSION", ""));
        String modules = release.getProperty("MODULES", NEEDED_MODULE);
        if (!version.matches() || !modules.contains(NEEDED_MODULE)) {
            return Optional.empty();
        }
        Jdk jdk = new Jdk(home, Integer.parseInt(version.group(1)));
        return Files.isExecutable(jdk.java()) ? Optional.of(jdk) : Optional.empty();
    }

    private boolean suits() {
        return feature >= REQUIRED;
    }

    /** Returns the {@code java} command. */
    Path java() {
        boolean windows = System.getProperty("os.name").toLowerCase(Locale.ROOT).startsWith("windows");
        return home.resolve("bin").resolve(windows ? "java.exe" : "java");
    }

    private static List<Path> children(Path folder) {
        List<Path> found = new ArrayList<>();
        if (Files.isDirectory(folder)) {
            try (DirectoryStream<Path> entries = Files.newDirectoryStream(folder)) {
                entries.forEach(found::add);
            } catch (IOException e) {
                return List.of(); // a folder that cannot be listed has no JDK for us
            }
        }
        found.sort(Comparator.naturalOrder());
        return found;
    }

    private static List<Path> toolchains(Path file) {
        if (!Files.isRegularFile(file)) {
            return List.of();
        }
        try {
            return TOOLCHAIN_HOME
                    .matcher(Files.readString(file))
                    .results()
                    .map(match -> Path.of(match.group(1)))
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
